"""Grids: what they expand to, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from aegan_pipelines import cli_sweep
from aegan_pipelines.cli import main
from aegan_pipelines.sweep_pipeline import compile_sweep
from click.testing import CliRunner
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from aegan.config import MetricName
from aegan.config_file import load_config
from aegan.errors import ConfigError
from aegan.evaluation.comparison import render
from aegan.sweep import BETTER, MOST_TRIALS, expand, read_trials, to_text, trial_config
from tests.conftest import tiny
from tests.packages import started


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny()))
    return str(path)


def test_a_grid_makes_a_trial_of_each_combination_the_last_setting_changing_fastest(
    source: str,
) -> None:
    _, trials = expand(source, [], ["gan.gamma=0.1,1", "autoencoder.hidden=[64],[32,16],[8]"])
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert trials[1].settings == {"gan.gamma": 0.1, "autoencoder.hidden": [32, 16]}
    assert list(trials[1].settings) == ["gan.gamma", "autoencoder.hidden"]
    assert read_trials(to_text(trials)) == trials


def test_a_trial_is_what_the_same_overrides_would_be_with_the_defaults_they_bring(
    source: str,
) -> None:
    base, trials = expand(source, ["seed=5"], ["gan.objective=relativistic,wasserstein"])
    for trial in trials:
        override = f"gan.objective={trial.settings['gan.objective']}"
        expected = load_config(source, ["seed=5", override])
        assert trial_config(base.to_json(), trial) == expected.to_json()
    assert trials[1].changes["gan.interpolation_penalty"] == 10.0


def test_whole_numbers_stay_whole(source: str) -> None:
    base, trials = expand(source, [], ["autoencoder.latent_size=4,16"])
    config = json.loads(trial_config(base.to_json(), read_trials(to_text(trials))[1]))
    assert repr(config["autoencoder"]["latent_size"]) == "16"


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("gan.gamma", "expected path.to.key=value,value,…, such as gan.gamma=0.1,0.3,1"),
        ("gan.gamma=", "expected path.to.key=value,value,…"),
        ("name=a,b", "`name` cannot vary within a sweep, because the best of all trials is"),
        ("data.source=a,b", "`data` cannot vary within a sweep, because scores of different data"),
        ("normalize.method=standard", "`normalize` cannot vary within a sweep, because scores are"),
        ("evaluation.samples=5,6", "`evaluation` cannot vary within a sweep, because scores that"),
        ("publish.alias=a,b", "`publish` cannot vary within a sweep, because one version"),
        (
            "compute.cpu=1,2",
            "`compute` cannot vary within a sweep, because where a model is trained",
        ),
        ("gan.gamma=1,2,1", "a value is given twice; leave one out"),
        ("gan.gamma=[1", "is not valid YAML"),
        ("gan.gama=1", "gan.gama: no such setting; expected one of"),
    ],
)
def test_a_wrong_grid_is_refused_with_what_to_do(source: str, grid: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(source, [], [grid])
    assert message in str(caught.value)


def test_every_mistake_of_every_trial_is_named_at_once_with_its_trials(source: str) -> None:
    grid = ["gan.gamma=-1,1", "gan.steps=0,10", "autoencoder.network=dense,recurrent"]
    with pytest.raises(ConfigError) as caught:
        expand(source, [], grid)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the grid makes configurations that cannot be run:"
    assert any("gan.gamma" in line and line.endswith("(trial 1, 2, 3, 4)") for line in lines)
    assert any("gan.steps" in line and line.endswith("(trial 1, 2, 5, 6)") for line in lines)
    assert any("`recurrent` needs `data.kind: sequence`" in line for line in lines)


def test_two_axes_of_one_setting_and_too_many_trials_are_refused(source: str) -> None:
    with pytest.raises(ConfigError, match="given twice; give all its values at once"):
        expand(source, [], ["gan.gamma=1", "gan.gamma=2"])
    values = ",".join(map(str, range(1, MOST_TRIALS + 2)))
    with pytest.raises(ConfigError, match=f"makes 201 trials: expected at most {MOST_TRIALS}"):
        expand(source, [], [f"gan.steps={values}"])


def test_every_metric_has_a_direction_and_an_unknown_one_is_refused_first(source: str) -> None:
    assert set(BETTER) == set(get_args(MetricName))
    command = ["sweep", source, "--grid", "gan.gama=1", "--metric", "fid"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert (
        "--metric fid: no such metric; expected one of reconstruction_mse (lower is" in done.stderr
    )


def test_options_of_a_cluster_without_a_host_are_refused(source: str) -> None:
    done = CliRunner().invoke(main, ["sweep", source, "--grid", "gan.gamma=1", "--follow"])
    assert done.exit_code == 2
    assert "--follow: for a sweep on a cluster; expected --host URL with it" in done.stderr


def test_the_package_loops_over_text_and_remembers_no_failure(source: str, tmp_path: Path) -> None:
    config, trials = expand(source, ["compute.preset=gke-l4"], ["gan.gamma=0.1,1"])
    compile_sweep(config, trials, "coverage", 3, tmp_path / "p.yaml")
    text = (tmp_path / "p.yaml").read_text("utf-8")
    assert "pip install" not in text
    spec = next(yaml.safe_load_all(text))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert spec["pipelineInfo"]["name"] == "aegan-tiny-sweep"
    (loop,) = [t for t in all_tasks(spec) if "parameterIterator" in t]
    assert json.loads(loop["parameterIterator"]["items"]["raw"]) == ["1", "2"]
    assert loop["iteratorPolicy"]["parallelismLimit"] == 3
    steps = {t["taskInfo"]["name"]: t for t in all_tasks(spec) if "retryPolicy" in t}
    assert {"normalize", "train_autoencoder", "train_gan", "evaluate", "compare", "publish"} <= set(
        steps
    )
    assert not any(t["cachingOptions"].get("enableCache") for t in steps.values())
    counts = {name: task["retryPolicy"]["maxRetryCount"] for name, task in steps.items()}
    assert (counts["train_gan"], counts["publish"]) == (4, 3)  # one to note that it was killed
    attempts = [t["inputs"]["parameters"].get("attempts") for t in steps.values()]  # type: ignore[attr-defined]
    assert [found for found in attempts if found] == [{"runtimeValue": {"constant": "4"}}] * 4
    containers = [e["container"] for e in spec["deploymentSpec"]["executors"].values()]
    assert sum("accelerator" in c.get("resources", {}) for c in containers) == 2
    pods = started(spec, root="gs://b/r", accelerator_count="4", image="other:1")
    asked = {name: pod["resourceCount"] for name, pod in pods.items() if "resourceCount" in pod}
    assert list(asked.values()) == ["4", "4"]
    assert {pod["image"] for pod in pods.values()} == {"other:1"}
    kinds = {p["parameterType"] for p in spec["root"]["inputDefinitions"]["parameters"].values()}
    assert kinds == {"STRING"}


def all_tasks(spec: dict[str, dict[str, object]]) -> list[dict[str, dict[str, object]]]:
    components = [spec["root"], *spec["components"].values()]
    return [t for c in components for t in c.get("dag", {}).get("tasks", {}).values()]  # type: ignore[attr-defined]


def test_the_page_of_the_largest_sweep_is_self_contained_and_below_a_megabyte() -> None:
    headline = dict.fromkeys(get_args(MetricName), 0.123456789)
    trials = [
        {
            "number": number,
            "settings": {"gan.gamma": number / 7, "autoencoder.hidden": [512, 256, 128]},
            "error": None if number % 2 else "train_gan: " + "the loss is not finite <&> " * 20,
            "score": number / 3 if number % 2 else None,
            "split": "validation",
            "headline": headline,
            "selected": "mixture",
            "verdict": "rejected",
            "report": f"/runs/stages/evaluate/{'k' * 32}/{'a' * 12}/report/report.html",
            "seconds": 12.0,
        }
        for number in range(1, MOST_TRIALS + 1)
    ]
    comparison = {"name": "tiny", "metric": "coverage", "better": "higher", "best": 199}
    page = render(comparison | {"trials": trials})
    assert len(page.encode()) < 1_000_000
    assert "http" not in page
    assert "finite &lt;&amp;&gt;" in page
    assert page.index(">199</td>") < page.index(">197</td>")
    assert "rejected by the gate: nothing is published" in page


def test_more_trials_at_once_than_a_laptop_runs_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_: Any, **__: Any) -> Any:
        raise SystemExit(0)

    monkeypatch.setattr(cli_sweep, "watched", ended)
    command = ["sweep", "digits", "--grid", "gan.gamma=0.1,1", "--parallelism"]
    for number, noted in (("2", False), ("3", True)):
        done = CliRunner().invoke(main, [*command, number])
        assert done.exit_code == 0
        assert ("note: here, 2 trials run at the same time" in done.stderr) is noted
