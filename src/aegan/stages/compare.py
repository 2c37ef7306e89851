"""After the trials of a sweep: which is the best, a page that compares them, and the sweep's record.

<root>/runs/<run id>/sweep.json    the comparison
<root>/runs/<run id>/sweep.html    the same for people
<root>/runs/<run id>/judged.json   which was the best, and its verdict; without it, none was judged
<root>/runs/<run id>/run.json      the record: that of the best trial, with the comparison in it
"""

from __future__ import annotations

import math
from typing import Any

from aegan.config_file import from_json
from aegan.digests import read_json, to_json
from aegan.errors import AeganError
from aegan.narration import narrate
from aegan.stages import record
from aegan.stages.trial import STEPS, read_trial, trial_run
from aegan.store import Store, open_store
from aegan.sweep import BETTER, check_metric, describe, read_trials, trial_config

UNFINISHED = (
    "ended without an error of its own: its pod could not start or was killed, or not reached"
)


def run(config: str, root: str, run_id: str, trials: str, metric: str) -> dict[str, Any]:
    """Write the comparison; returns it.

    Args:
        config: canonical JSON of the configuration without the grid.
        root: folder or bucket path where everything of this project lies.
        run_id: of the sweep's pipeline run.
        trials: all trials, from `aegan.sweep.to_text`.
        metric: by which the best is chosen.

    Returns:
        `name`, `metric`, `better` (lower or higher), `best` (a trial's number, or None) and `trials`,
        each with `number`, `settings`, `error`, and if it has scores `score`, `headline`, `selected`,
        `verdict`, `report`, `seconds`, `stages`.
    """
    from aegan.evaluation.comparison import render

    chosen, store = check_metric(metric), open_store(root)
    rows = [
        _row(store, run_id, trial.number, trial.settings, metric) for trial in read_trials(trials)
    ]
    sign = 1 if BETTER[chosen] == "lower" else -1
    ranked = sorted((r for r in rows if r["score"] is not None), key=lambda r: sign * r["score"])
    comparison = {
        "name": from_json(config).name,
        "metric": metric,
        "better": BETTER[chosen],
        "best": ranked[0]["number"] if ranked else None,
        "trials": rows,
    }
    store.write(f"runs/{run_id}/sweep.json", to_json(comparison))
    store.write(f"runs/{run_id}/sweep.html", render(comparison).encode())
    if ranked:
        what = f"trial {ranked[0]['number']} ({describe(ranked[0]['settings'])})"
        narrate("compare", "info", f"best {metric} is {ranked[0]['score']:.4g}, of {what}")
    return comparison


def best_of(
    config: str, root: str, run_id: str, trials: str, metric: str
) -> tuple[str, dict[str, str], str]:
    """Compare, and return what is to be published if it passed the gate.

    Returns:
        The best trial's configuration, the URIs of its stages' outputs and its verdict.

    Raises:
        AeganError: no trial came to a score; says why for each.
    """
    comparison = run(config, root, run_id, trials, metric)
    if comparison["best"] is None:
        error = _no_best(comparison)
        narrate("compare", "error", str(error))
        raise error
    best = comparison["trials"][comparison["best"] - 1]
    own = trial_config(config, read_trials(trials)[best["number"] - 1])
    judged = {"best": best["number"], "verdict": best["verdict"]}
    open_store(root).write(_judged(run_id), to_json(judged))
    return own, {stage: best["stages"][stage]["uri"] for stage in STEPS}, best["verdict"]


def read_page(root: str, run_id: str) -> bytes:
    """The HTML page of a comparison."""
    return open_store(root).read(f"runs/{run_id}/sweep.html") or b""


def run_record(
    config: str, root: str, run_id: str, trials: str, metric: str, state: str, message: str
) -> dict[str, Any]:
    """Whatever happened, write what the sweep came to; returns it. See `aegan.stages.record`."""
    store = open_store(root)
    comparison = run(config, root, run_id, trials, metric)
    began = read_json(store, f"runs/{run_id}/began.json")
    if comparison["best"] is not None:
        number = comparison["best"]
        config = trial_config(config, read_trials(trials)[number - 1])
        its = read_json(store, f"runs/{trial_run(run_id, number)}/began.json")
        began = its | began
    elif not state.startswith("CANCEL"):
        message = str(_no_best(comparison))
    found = record.collect(config, store, run_id, began, state, message)
    judged = comparison["best"] is None or store.read(_judged(run_id)) is not None
    if found["status"] in ("failed", "rejected") and not judged:
        found |= {"status": "failed", "error": str(_not_judged(comparison["trials"]))}
    return record.write(
        store, found | {"sweep": comparison, "page": f"{store.uri}/runs/{run_id}/sweep.html"}
    )


def _row(
    store: Store, run_id: str, number: int, settings: dict[str, Any], metric: str
) -> dict[str, Any]:
    state = read_trial(store, run_id, number) or {"stages": {}, "error": None}
    stages = state["stages"]
    row = {"number": number, "settings": settings, "error": state["error"], "score": None}
    row |= {
        "stages": stages,
        "seconds": sum(s["seconds"] for s in stages.values() if not s["reused"]),
    }
    if state["error"] or set(stages) != set(STEPS):
        return row | {"error": state["error"] or UNFINISHED}
    place = f"{stages['evaluate']['outputs']}/report"
    report = open_store(place)
    metrics = read_json(report, "metrics.json")
    verdict = read_json(report, "verdict.json")
    score, split = _score(metrics, verdict, metric)
    row |= {
        "score": score if score is not None and math.isfinite(score) else None,
        "split": split,
        "headline": metrics["headline"],
        "selected": verdict["selected"],
        "verdict": "passed" if verdict["passed"] else "rejected",
        "report": f"{place}/report.html",
    }
    return (
        row if row["score"] is not None else row | {"error": f"its {metric} is not a finite number"}
    )


def _score(
    metrics: dict[str, Any], verdict: dict[str, Any], metric: str
) -> tuple[float | None, str]:
    """What a trial is ranked by, and the split it was taken on.

    Validation data where there is such a score: the best of many on the test split would look better
    there than it is.
    """
    found = verdict["validation_scores"][verdict["selected"]].get(metric)
    return (metrics["headline"][metric], "test") if found is None else (found, "validation")


def _judged(run_id: str) -> str:
    return f"runs/{run_id}/judged.json"


def _not_judged(rows: list[dict[str, Any]]) -> AeganError:
    """Why nothing was published though a trial came to a score, and what to do."""
    lines = []
    for row in (row for row in rows if row["score"] is None):
        stage = next((stage for stage in STEPS if stage not in row["stages"]), "its scores")
        lines.append(
            f"\n  trial {row['number']} ({describe(row['settings'])}), in {stage}: {row['error']}"
        )
    return AeganError(
        "the best trial was not judged, because steps ended that the comparison waits for: their pods"
        f" could not start, or were killed as often as they are tried{''.join(lines)}\nLook at these"
        " pods (kubectl describe), mend what they lack, then run the sweep again: what is finished is"
        " reused"
    )


def _no_best(comparison: dict[str, Any]) -> AeganError:
    rows = comparison["trials"]
    lines = [f"  trial {r['number']} ({describe(r['settings'])}): {r['error']}" for r in rows]
    return AeganError(f"all {len(rows)} trials failed:\n" + "\n".join(lines))
