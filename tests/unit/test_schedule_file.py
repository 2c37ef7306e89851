"""Every mistake of a schedule file is told at once, before anything is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines import schedule_entries
from aegan_pipelines.context import Context
from aegan_pipelines.schedule_file import read_schedules, refuse

from aegan.errors import ConfigError
from tests.conftest import tiny
from tests.kfp_server import KfpServer
from tests.schedules import CONTEXT, apply, command, write

pytestmark = pytest.mark.usefixtures("compiled_once")


def told(path: Path, context: Context = CONTEXT) -> str:
    """What is said of a file without reaching a cluster."""
    try:
        file = read_schedules(path)
        refuse(path, schedule_entries.prepare_all(file, context, datetime.now(UTC))[1])
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "A!"}, "A!: name: not what this setting takes: String should match pattern"),
        ({"name": "a", "every": "6h"}, "one of `cron` and `every`, received both"),
        ({"name": "a", "cron": None}, "one of `cron` and `every`, received neither"),
        ({"name": "a", "cron": "0 25 * * *"}, "a: cron: cron '0 25 * * *': '25' is no hour"),
        ({"name": "a", "cron": None, "every": "6"}, "such as 30m, 6h or 1d"),
        ({"name": "a", "timezone": "Mars"}, "a: timezone: no time zone named 'Mars'"),
        ({"name": "a", "cron": "0 0 1 * *", "timezone": "Asia/Tokyo"}, "a: in UTC these times"),
        ({"name": "a", "concurrency": 11}, "less than or equal to 10, received 11"),
        ({"name": "a", "crom": "x"}, "a: crom: no such setting; expected one of name, config"),
        ({"name": "a", "start": "2030-01-01T00:00:00"}, "a: start: a time needs its zone"),
        (
            {"name": "a", "start": "2031-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"},
            "a: `end` must be after `start`, received 2030-01-01 00:00:00Z and 2031-01-01 00:00:00Z",
        ),
        ({"name": "a", "parameters": {"root": "x"}}, "a: parameters: give config and root beside"),
        ({"name": "a", "config": "nothing"}, "a: no preset named 'nothing'"),
        ({"name": "a", "set": ["gan.steps=x"]}, "gan.steps: "),
        ({"name": "a", "root": "runs"}, "a: no root that pods can reach, received 'runs'"),
        ({"name": "a", "root": "/mnt/aegan"}, "a: --root /mnt/aegan: no volume is mounted there"),
        (
            {"name": "a", "parameters": {"accelerator_cont": "1"}},
            "a: parameters.accelerator_cont: no such parameter; expected one of accelerator,",
        ),
        (
            {"name": "a", "parameters": {"accelerator_count": "one"}},
            "a: the parameter accelerator_count is 'one': expected a whole number as text",
        ),
        (
            {"name": "a", "parameters": {"accelerator_count": 1}},
            "a: parameters.accelerator_count: expected text, in quotes, received 1",
        ),
        ({"name": "a", "parameters": {"image": ""}}, "a: parameters.image: empty; leave it out"),
        ({"name": "a", "parameters": {"image": "x:latest"}}, "names no fixed version"),
        ({"name": "a", "parameters": {"accelerator": "L4"}}, "compute.accelerator: Kubeflow takes"),
    ],
)
def test_mistakes_name_the_entry_and_need_no_cluster(
    tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    assert message in told(write(tmp_path, entry))


def test_a_schedule_may_set_what_a_run_may(tmp_path: Path) -> None:
    values = {"accelerator_count": "2", "accelerator": "amd.com/gpu", "image": "other:1.2"}
    values |= {"data_source": "gs://bucket/data.npz", "fresh": ""}
    file = read_schedules(write(tmp_path, {"name": "a", "parameters": values}))
    assert schedule_entries.prepare_all(file, CONTEXT, datetime.now(UTC))[1] == []


def test_mistakes_of_the_file_itself(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "a"}, {"name": "a", "concurrency": 0}, group="A!")
    message = told(path)
    assert f"{path}: 3 mistakes in this schedule file; nothing was changed" in message
    assert "\n  group: not what this setting takes: String should match" in message
    assert "\n  a: concurrency: " in message
    assert "\n  a: is used by 2 schedules; give each its own name" in message
    path.write_text("schedules: [a, {}]\nextra: 1\n")
    message = told(path)
    assert "extra: no such setting; expected one of group, schedules" in message
    assert (
        "schedules.0: top level: not what this setting takes: Input should be a valid dictionary"
        in message
    )
    assert "schedules.1: name: Field required" in message
    for text, expected in (("- a", "expected `schedules:`"), ("a: {", "is not valid YAML")):
        path.write_text(text)
        assert expected in told(path)
    assert "cannot read the schedules of" in told(tmp_path / "none.yaml")


def all_wrong(folder: Path) -> Path:
    """A good entry, and one of each kind of mistake, of which some need the cluster."""
    write(folder)
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tiny(seed=name)))
    return write(
        folder,
        {"name": "good"},
        {"name": "typo", "version": "typo"},
        {"name": "one", "config": "one.yaml"},
        {"name": "two", "config": "two.yaml"},
        {"name": "extra", "parameters": {"accelerator_cont": "1"}},
        {"name": "word", "parameters": {"accelerator_count": "one"}},
        {"name": "february", "cron": "0 3 31 2 *"},
        {"name": "past", "end": "2020-01-01T00:00:00Z"},
        {"name": "short", "cron": None, "every": "6w", "end": soon()},
        {"name": "hour", "cron": "0 25 * * *"},
        {"name": "good"},
        {"name": "theirs"},
    )


def soon() -> str:
    return f"{datetime.now(UTC).year + 1}-01-01T00:00:00Z"


@pytest.mark.parametrize("dry", [True, False], ids=["dry-run", "apply"])
def test_all_mistakes_are_told_at_once_and_nothing_is_changed(
    kfp_server: KfpServer, tmp_path: Path, dry: bool
) -> None:
    apply(kfp_server, write(tmp_path, {"name": "theirs"}, group="others"))
    changes = len(kfp_server.calls("POST|DELETE"))
    path = all_wrong(tmp_path)
    root = ("--root", "gs://bucket/root")
    done = command(kfp_server, "apply", str(path), *root, *(["--dry-run"] if dry else []))
    assert (done.exit_code, done.stdout) == (1, "")
    for message in (
        "11 mistakes in this schedule file; nothing was changed:",
        "typo: aegan-tiny has no version named 'typo'",
        f"one: {tmp_path}/one.yaml: 1 mistake\n    seed: ",
        f"two: {tmp_path}/two.yaml: 1 mistake\n    seed: ",
        "extra: parameters.accelerator_cont: no such parameter",
        "word: the parameter accelerator_count is 'one'",
        "february: cron '0 3 31 2 *' never fires: correct the times",
        "past: cron '0 3 * * *' before 2020-01-01 00:00:00Z never fires",
        "short: every 6w before",
        "hour: cron: cron '0 25 * * *': '25' is no hour",
        "good: is used by 2 schedules",
        "theirs: there is a schedule theirs that this file did not make",
    ):
        assert f" {message}" in done.stderr, message
    assert len(kfp_server.calls("POST|DELETE")) == changes


def test_what_a_file_itself_shows_is_told_also_where_no_cluster_answers(tmp_path: Path) -> None:
    with KfpServer() as gone:
        pass
    done = command(gone, "apply", str(all_wrong(tmp_path)), "--root", "gs://bucket/root")
    assert "6 mistakes in this schedule file" in done.stderr
    good = write(tmp_path, {"name": "good"})
    done = command(gone, "apply", str(good), "--root", "gs://bucket/root")
    assert "cannot reach Kubeflow Pipelines" in done.stderr


def test_the_parameters_of_a_named_version_are_those_it_has(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    apply(kfp_server, write(tmp_path, {"name": "a"}))
    (version,) = kfp_server.pipelines.versions.values()
    named = {"name": "b", "version": version["name"]}
    apply(kfp_server, write(tmp_path, {"name": "a"}, named | {"parameters": {"fresh": "x"}}))
    inputs = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    inputs |= {"count": {"parameterType": "NUMBER_INTEGER"}, "who": {"parameterType": "STRING"}}
    other = named | {"parameters": {"count": "1", "colour": "red"}}
    with pytest.raises(ConfigError) as caught:
        apply(kfp_server, write(tmp_path, {"name": "a"}, other))
    assert "b: parameters.count: the version takes NUMBER_INTEGER here" in str(caught.value)
    assert "b: parameters.colour: no such parameter" in str(caught.value)
    assert "b: parameters.who: required by the version and missing" in str(caught.value)


def test_a_schedule_that_has_come_to_its_end_is_no_mistake_but_remarked(
    kfp_server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"name": "a", "end": soon()})
    root = ("--root", "gs://bucket/root")
    assert command(kfp_server, "apply", str(path), *root).stdout.startswith("create")

    class Later(datetime):
        @classmethod
        def now(cls, zone: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(zone).replace(year=datetime.now().year + 2)

    monkeypatch.setattr("aegan_pipelines.cli_schedule.datetime", Later)
    done = command(kfp_server, "apply", str(path), *root)
    assert (done.exit_code, done.stdout) == (0, "nothing   a\n")
    assert "note: a fires no more: its times are past" in done.stderr
