"""A sweep: one configuration, a grid of settings, a trial for each of their combinations.

Everything about a trial is known before anything runs. It crosses Kubeflow as text: a list that is
looped over holds numbers as floats, so the loop goes over the trials' numbers, as text, and each step
finds its trial in one JSON string.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aegan.config import Config, MetricName
from aegan.config_file import load_config, parse_yaml, validate
from aegan.errors import ConfigError

MOST_TRIALS = 200
"""More would neither fit a page of comparison nor the parameters of a run."""

BETTER: dict[MetricName, Literal["lower", "higher"]] = {
    "reconstruction_mse": "lower",
    "reconstruction_mse_ratio_to_pca": "lower",
    "frechet_distance": "lower",
    "frechet_distance_ratio_to_gaussian": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
}

FIXED = {
    "name": "the best of all trials is published under one name",
    "data": "scores of different data cannot be compared",
    "normalize": "scores are taken in normalised units and could not be compared",
    "evaluation": "scores that are taken differently cannot be compared",
    "publish": "one version is published, under one alias",
    "compute": "where a model is trained does not change it",
}
"""Sections that no grid may vary, and why."""


@dataclass(frozen=True)
class Trial:
    """One combination.

    Attributes:
        number: from 1, in the order of the grid, the last setting changing fastest.
        settings: of the grid, by path.
        changes: all that differs from the configuration without the grid, by path; a choice may bring
            other defaults with it.
    """

    number: int
    settings: dict[str, Any]
    changes: dict[str, Any]


def check_metric(metric: str) -> MetricName:
    """The metric, if trials can be compared by it.

    Raises:
        ConfigError: it is not known; names those that are.
    """
    if metric not in BETTER:
        known = ", ".join(f"{name} ({BETTER[name]} is better)" for name in get_args(MetricName))
        raise ConfigError(f"--metric {metric}: no such metric; expected one of {known}")
    return metric


def expand(
    source: str, overrides: Iterable[str], grid: Iterable[str]
) -> tuple[Config, list[Trial]]:
    """The configuration, and a trial for each combination of the grid's values.

    Args:
        source: path of a YAML file, or the name of a preset.
        overrides: `path.to.key=value` texts, for all trials.
        grid: `path.to.key=value,value,…` texts; values are read as YAML.

    Raises:
        ConfigError: the grid or any of the configurations is wrong; all mistakes are named at once.
    """
    fixed = list(overrides)
    base = load_config(source, fixed)
    axes = _axes(grid)
    combinations = [
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]
    if len(combinations) > MOST_TRIALS:
        raise ConfigError(
            f"the grid makes {len(combinations)} trials: expected at most {MOST_TRIALS};"
            " give fewer values"
        )
    trials, mistakes = [], dict[str, list[int]]()
    for number, settings in enumerate(combinations, 1):
        try:
            config = load_config(source, [*fixed, *map(assignment, settings.items())])
        except ConfigError as error:
            for line in str(error).splitlines()[1:] or [str(error)]:
                mistakes.setdefault(line.strip(), []).append(number)
            continue
        changes = _differences(base.model_dump(mode="json"), config.model_dump(mode="json"))
        trials.append(Trial(number, settings, changes))
    if mistakes:
        lines = [f"  {line} (trial {_numbers(found)})" for line, found in mistakes.items()]
        raise ConfigError("the grid makes configurations that cannot be run:\n" + "\n".join(lines))
    return base, trials


def assignment(item: tuple[str, Any]) -> str:
    """A setting as `--set` takes it."""
    return f"{item[0]}={json.dumps(item[1])}"


def describe(settings: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return " ".join(map(assignment, settings.items()))


def to_text(trials: Iterable[Trial]) -> str:
    """All trials in one text, for `trial_config` and `read_trials`."""
    return json.dumps([vars(trial) for trial in trials], separators=(",", ":"))


def read_trials(text: str) -> list[Trial]:
    """What `to_text` wrote."""
    return [Trial(**item) for item in json.loads(text)]


def trial_config(config: str, trial: Trial) -> str:
    """The configuration of one trial, as canonical JSON.

    Args:
        config: canonical JSON of the configuration without the grid.
        trial: of the grid.

    Raises:
        ConfigError: what a run changed, such as the data's source, does not go with the trial.
    """
    tree = json.loads(config)
    for path, value in trial.changes.items():
        *parents, last = path.split(".")
        node = tree
        for key in parents:
            node = node[key]
        node[last] = value
    return validate(tree, f"the configuration of trial {trial.number}").to_json()


def _axes(grid: Iterable[str]) -> dict[str, list[Any]]:
    """Values by path, in the order given; every mistake of the grid at once."""
    axes: dict[str, list[Any]] = {}
    mistakes = []
    for text in grid:
        path, equals, values = text.partition("=")
        section = path.split(".")[0]
        found = parse_yaml(f"[{values}]", f"--grid {text}") if equals else []
        if not path or not found:
            mistakes.append("expected path.to.key=value,value,…, such as gan.gamma=0.1,0.3,1")
        elif section in FIXED:
            mistakes.append(f"`{section}` cannot vary within a sweep, because {FIXED[section]}")
        elif path in axes:
            mistakes.append("this setting is given twice; give all its values at once")
        elif any(found.index(value) < index for index, value in enumerate(found)):
            mistakes.append("a value is given twice; leave one out")
        else:
            axes[path] = found
            continue
        mistakes[-1] = f"  --grid {text}: {mistakes[-1]}"
    if mistakes:
        raise ConfigError("this grid cannot be swept:\n" + "\n".join(mistakes))
    return axes


def _differences(before: Any, after: Any, path: str = "") -> dict[str, Any]:
    """Values of `after` that are others in `before`, by path."""
    if not (isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys()):
        return {path: after} if before != after else {}
    found: dict[str, Any] = {}
    for key in after:
        found |= _differences(before[key], after[key], f"{path}.{key}" if path else key)
    return found


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown}, …" if len(numbers) > 5 else shown
