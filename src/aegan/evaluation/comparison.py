"""The page that compares the trials of a sweep: one self-contained HTML file."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import aegan
from aegan.narration import duration

COLUMNS = ("frechet_distance", "precision", "recall", "coverage", "reconstruction_mse")


def render(comparison: dict[str, Any]) -> str:
    """HTML of what `aegan.stages.compare.run` returns: a table, best first, with bars."""
    import jinja2

    source = (resources.files("aegan.evaluation") / "comparison.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"short": short, "duration": duration, "value": json.dumps}
    trials = comparison["trials"]
    scored = [trial for trial in trials if trial["score"] is not None]
    largest = max((abs(trial["score"]) for trial in scored), default=0.0) or 1.0
    return environment.from_string(source).render(
        comparison | {"trials": None},
        version=aegan.__version__,
        ranked=sorted(scored, key=lambda t: t["score"], reverse=comparison["better"] == "higher"),
        failed=[trial for trial in trials if trial["score"] is None],
        keys=list(trials[0]["settings"]) if trials else [],
        columns=COLUMNS,
        width=lambda score: round(100 * abs(score) / largest, 1),
    )


def short(value: float | None) -> str:
    """A score as it is shown."""
    if value is None:
        return "–"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10 else f"{value:.4g}"
