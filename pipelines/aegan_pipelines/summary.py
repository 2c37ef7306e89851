"""Texts that tell a person what a run or a version is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aegan
from aegan import pulled
from aegan.digests import read_json
from aegan.manifest import Manifest
from aegan.narration import moment
from aegan.references import parse_reference
from aegan.samplers import TITLES
from aegan.store import open_store
from aegan.sweep import describe
from aegan.version_files import VersionFiles


def summarize(record: dict[str, Any], root: str) -> str:
    """How a finished run ended: verdict, scores beside their baselines, report, what to do next."""
    evaluation = record["stages"]["evaluate"]
    report = open_store(f"{evaluation['outputs']}/report")
    metrics = read_json(report, "metrics.json")
    verdict = read_json(report, "verdict.json")
    lines = ["", *scores(metrics, verdict), "", *missed_lines(verdict)]
    if "sweep" in record:
        lines = ["", *sweep_lines(record["sweep"]), *lines]
        lines.append(f"comparison {_short(record['page'])}")
    lines.append(f"report     {_short(report.uri)}/report.html")
    if record["status"] == "rejected":
        return "\n".join([*lines, "published  nothing: the gate rejected this model"])
    base, version = f"{_short(root)}/models/{record['name']}", record["model"].rsplit("/", 1)[-1]
    current, _ = aegan.Registry(root).resolve(record["name"], record["alias"])
    if current == version:
        reference = f"{base}@{record['alias']}"
        lines.append(f"published  {reference} → {version}")
    else:
        reference = f"{base}@{version}"
        lines.append(f"published  {reference}, earlier; {record['alias']} is {current}, left alone")
    output = "grid.png" if record["config"]["data"]["kind"] == "image" else "samples.npz"
    command = f"{_program()} sample {reference} -n 64 --seed 7 -o {output}"
    return "\n".join([*lines, f"sample     {command}"])


def missed_lines(verdict: dict[str, Any]) -> list[str]:
    """A line for each threshold that was missed."""
    lines = []
    for check in verdict["checks"]:
        if not check["passed"]:
            bounds = (("at least", check["min"]), ("at most", check["max"]))
            expected = " and ".join(
                f"{word} {bound}" for word, bound in bounds if bound is not None
            )
            value = "not a finite number" if check["value"] is None else check["value"]
            what = f"{check['metric']} is {value}, expected {expected}"
            lines.append(f"threshold missed: {what}")
    return lines


def scores(metrics: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    """The scores as aligned lines."""
    headline, rows = metrics["headline"], metrics["generation"]
    lines = [
        f"{'reconstruction':<38}{'MSE':>9}",
        f"  {'autoencoder':<36}{_score(headline['reconstruction_mse'], 9, 5)}",
        f"  {'PCA, as many components':<36}{_score(headline['pca_reconstruction_mse'], 9, 5)}",
        "",
        f"{'generation':<38}{'Fréchet':>9}{'precision':>11}{'recall':>9}{'coverage':>10}",
    ]
    for key in (key for key in TITLES if key in rows):
        row, title = rows[key], TITLES[key]
        mark = " (selected)" if key == verdict["selected"] else ""
        lines.append(
            f"  {title + mark:<36}{_score(row['frechet_distance'], 9)}{_score(row['precision'], 11)}"
            f"{_score(row['recall'], 9)}{_score(row['coverage'], 10)}"
        )
    return lines


def _score(value: float | None, width: int, places: int = 3) -> str:
    """A score in a column; a dash for one that was not a finite number, which files hold as null."""
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{places}f}"


def sweep_lines(comparison: dict[str, Any]) -> list[str]:
    """The trials of a sweep as aligned lines, the best first; those without a score last."""
    metric, lower = comparison["metric"], comparison["better"] == "lower"
    trials = comparison["trials"]
    scored = [trial for trial in trials if trial["score"] is not None]
    scored.sort(key=lambda trial: trial["score"], reverse=not lower)
    lines = [f"{'trial':<7}{metric:>{len(metric) + 2}}  gate      settings"]
    for trial in scored:
        mark = "  (best)" if trial["number"] == comparison["best"] else ""
        shown = f"{trial['number']:<7}{trial['score']:>{len(metric) + 2}.5g}"
        lines.append(f"{shown}  {trial['verdict']:<10}{describe(trial['settings'])}{mark}")
    for trial in trials:
        if trial["score"] is None:
            reason = trial["error"].splitlines()[0]
            shown = f"{trial['number']:<7}{'failed':>{len(metric) + 2}}"
            lines.append(f"{shown}  {'-':<10}{describe(trial['settings'])}: {reason}")
    return lines


def describe_failed_sweep(record: dict[str, Any]) -> str:
    """What a sweep that published nothing came to."""
    lines = ["", *sweep_lines(record["sweep"]), "", f"comparison {_short(record['page'])}"]
    if record["sweep"]["best"] is not None:  # else each trial's line says why
        lines.append(f"not published: {record['error']}")
    return "\n".join(lines)


def version_facts(uri: str) -> dict[str, Any]:
    """What is known of a published version, read from its own files; or of one that was pulled."""
    if (folder := pulled.folder_of(uri)) is not None:
        return _pulled_facts(folder)
    root, name, reference = parse_reference(uri)
    registry = aegan.Registry(root)
    version, manifest = registry.find(name, reference)
    aliases, damaged = registry.readable_aliases(name)
    pointing = {key: asdict(alias) for key, alias in aliases.items()}
    facts = _facts(
        manifest,
        registry.uri(name, version),
        registry.signature(name, version),
        lambda path: registry.read_file(name, version, path),
    )
    return facts | {
        "version": version,
        "aliases": {key: alias for key, alias in pointing.items() if alias["version"] == version},
        "damaged_aliases": [str(error) for error in damaged],
    }


def _pulled_facts(folder: Path) -> dict[str, Any]:
    manifest = pulled.verify(folder)
    read = VersionFiles(folder, manifest).read
    facts = _facts(manifest, str(folder), pulled.signature(folder), read)
    # Such a folder does not know its version, or what names that.
    return facts | {"version": None, "aliases": {}, "damaged_aliases": []}


def _facts(
    manifest: Manifest, uri: str, signature: bytes | None, read: Callable[[str], bytes]
) -> dict[str, Any]:
    """What the files of a version say, wherever they lie."""
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "uri": uri,
        "signature": None if signature is None else "unchecked",
        "files": dict(manifest.files),
        "metrics": json.loads(read("report/metrics.json")),
        "verdict": json.loads(read("report/verdict.json")),
    }


def describe_version(facts: dict[str, Any]) -> str:
    """Facts for a person to read."""
    lines = [
        f"{facts['name']} {facts['version'] or '(pulled)'}",
        f"digest   {facts['digest']}",
        f"at       {facts['uri']}",
    ]
    for alias, target in facts["aliases"].items():
        lines.append(
            f"alias    {alias}, since {moment(target['at'])} by {target['by']}: {target['reason']}"
            + (" (forced)" if target["forced"] else "")
        )
        if target["previous"]:
            lines.append(f"         before: {target['previous']}")
    unchecked = "has a signature, unchecked: aegan models verify --public-key PEM checks whose"
    lines.append(f"signed   {unchecked if facts['signature'] else 'no'}")
    lines.append(f"files    {len(facts['files'])}")
    return "\n".join([*lines, "", *scores(facts["metrics"], facts["verdict"])])


def _program() -> str:
    """How to call this program again: by name if it is on the path, else by where it is."""
    this = Path(sys.argv[0])
    on_path = shutil.which("aegan")
    return "aegan" if on_path and Path(on_path).samefile(this) else _short(str(this))


def _short(path: str) -> str:
    """A path relative to where the person is, if that is shorter."""
    if "://" in path:
        return path
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path
