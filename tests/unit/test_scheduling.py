"""Schedules become what a file says, from whatever state a killed run left them in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines import cluster
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.rest import Api

from aegan.errors import AeganError
from tests.kfp_server import KfpServer
from tests.schedules import CONTEXT, Killed, apply, command, killed_at, there, write

pytestmark = pytest.mark.usefixtures("compiled_once")


def test_a_plan_is_carried_out_once_and_then_nothing_is_left_to_do(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    path = write(tmp_path, {"name": "nightly"}, {"name": "often", "cron": None, "every": "6h"})
    assert apply(kfp_server, path) == ["create", "create"]
    state = {"nightly": ("ENABLED", "0 0 3 * * *"), "often": ("ENABLED", "21600")}
    assert there(kfp_server) == state
    made = next(iter(kfp_server.recurring.items.values()))
    assert made["no_catchup"] is True  # the server's own default would make up for missed times
    calls = len(kfp_server.calls("POST|DELETE"))
    assert apply(kfp_server, path) == ["nothing", "nothing"]
    assert len(kfp_server.calls("POST|DELETE")) == calls


def test_schedules_are_found_on_every_page(
    kfp_server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"name": "a"}, {"name": "b"}, {"name": "c"})
    apply(kfp_server, path)
    monkeypatch.setattr(cluster, "PAGE_SIZE", 1)
    assert apply(kfp_server, path) == ["nothing"] * 3


def test_changes_pauses_and_orphans(kfp_server: KfpServer, tmp_path: Path) -> None:
    apply(kfp_server, write(tmp_path, {"name": "a"}, {"name": "b"}, {"name": "c"}))
    path = write(tmp_path, {"name": "a", "cron": "0 4 * * *"}, {"name": "b", "paused": True})
    assert apply(kfp_server, path) == ["replace", "pause", "orphan"]
    state = {"a": ("ENABLED", "0 0 4 * * *"), "b": ("DISABLED", "0 0 3 * * *")}
    assert there(kfp_server) == state | {"c": ("ENABLED", "0 0 3 * * *")}
    assert apply(kfp_server, path, prune=True) == ["nothing", "nothing", "orphan"]
    assert there(kfp_server) == state
    assert apply(kfp_server, write(tmp_path, {"name": "a", "set": ["seed=9"]}, {"name": "b"})) == [
        "replace",
        "enable",
    ]
    assert apply(kfp_server, write(tmp_path, {"name": "other"}, group="others")) == ["create"]
    with pytest.raises(AeganError, match="a schedule other that this file did not make"):
        apply(kfp_server, write(tmp_path, {"name": "other"}))


EVERY_FIELD = {
    "name": "a",
    "cron": "30 4 * * mon",
    "timezone": "Asia/Kolkata",
    "start": "2040-01-01T05:30:00+05:30",
    "end": "2041-01-01T00:00:00Z",
    "concurrency": 3,
    "catch_up": True,
    "paused": True,
    "root": "gs://other/aegan",
    "parameters": {"accelerator_count": "2", "fresh": "x"},
}


def test_every_field_arrives_at_the_server(kfp_server: KfpServer, tmp_path: Path) -> None:
    apply(kfp_server, write(tmp_path, EVERY_FIELD))
    (identity,) = kfp_server.recurring.items
    stored = Api(kfp_server.url, Credentials()).get(f"/recurringruns/{identity}")
    assert stored["trigger"] == {
        "cron_schedule": {
            "cron": "0 0 23 * * 0",
            "start_time": "2040-01-01T00:00:00Z",
            "end_time": "2041-01-01T00:00:00Z",
        }
    }
    assert stored["max_concurrency"] == "3"
    assert stored["no_catchup"] is False
    assert stored["status"] == "DISABLED"
    given = {"accelerator_count": "2", "fresh": "x"}
    assert stored["runtime_config"] == {"parameters": {"root": "gs://other/aegan"} | given}
    reference = stored["pipeline_version_reference"]
    version = kfp_server.pipelines.versions[reference["pipeline_version_id"]]
    assert version["pipeline_id"] == reference["pipeline_id"]
    pipeline = kfp_server.pipelines.items[reference["pipeline_id"]]
    assert pipeline["display_name"] == "aegan-tiny"
    experiment = kfp_server.experiments.items[stored["experiment_id"]]
    assert experiment["display_name"] == "tiny"


def test_an_interval_arrives_with_its_bounds_and_the_defaults_are_those_of_the_guide(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    bounds = {"start": "2040-01-01T00:00:00Z", "end": "2041-01-01T00:00:00Z"}
    apply(kfp_server, write(tmp_path, {"name": "a", "cron": None, "every": "2d"} | bounds))
    (stored,) = kfp_server.recurring.items.values()
    assert stored["trigger"] == {
        "periodic_schedule": {
            "interval_second": "172800",
            "start_time": bounds["start"],
            "end_time": bounds["end"],
        }
    }
    assert (stored["max_concurrency"], stored["no_catchup"]) == ("1", True)
    assert stored["status"] == "ENABLED"
    assert stored["runtime_config"] == {"parameters": {"root": CONTEXT.root}}


@pytest.mark.parametrize(
    "change",
    [
        {"cron": "31 4 * * mon"},
        {"timezone": "UTC"},
        {"start": "2040-01-02T00:00:00Z"},
        {"end": "2042-01-01T00:00:00Z"},
        {"concurrency": 2},
        {"catch_up": False},
        {"root": "gs://another/aegan"},
        {"parameters": {"accelerator_count": "4", "fresh": "x"}},
        {"set": ["seed=9"]},
        {"version": "latest"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_any_field_replaces_the_schedule_once(
    kfp_server: KfpServer, tmp_path: Path, change: dict[str, Any]
) -> None:
    apply(kfp_server, write(tmp_path, EVERY_FIELD))
    changed = write(tmp_path, EVERY_FIELD | change)
    assert apply(kfp_server, changed) == ["replace"]
    assert apply(kfp_server, changed) == ["nothing"]
    assert apply(kfp_server, write(tmp_path, EVERY_FIELD | change | {"paused": False})) == [
        "enable"
    ]


def test_each_firing_gets_the_schedules_parameters_and_no_more_runs_than_it_may(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    kfp_server.runs.executes = False
    apply(kfp_server, write(tmp_path, EVERY_FIELD | {"paused": False}))
    (identity,) = kfp_server.recurring.items
    runs = [kfp_server.recurring.fire(identity) for _ in range(4)]
    assert [run is None for run in runs] == [False, False, False, True]
    parameters = {"root": "gs://other/aegan", "accelerator_count": "2", "fresh": "x"}
    for run in runs[:3]:
        assert run is not None
        assert run["runtime_config"]["parameters"] == parameters
    triggered = command(kfp_server, "trigger", "a").stdout.splitlines()[0]
    assert kfp_server.runs.items[triggered]["runtime_config"]["parameters"] == parameters


@pytest.mark.parametrize("before", [True, False], ids=["before-the-call", "after-the-call"])
def test_killed_between_any_two_calls_it_converges_and_two_are_never_active(
    kfp_server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    for number in range(1, 40):
        apply(
            kfp_server,
            write(tmp_path, {"name": "a", "cron": f"{number} 1 * * *"}, {"name": "b"}),
        )
        new = write(
            tmp_path, {"name": "a", "cron": f"{number} 2 * * *"}, {"name": "b", "paused": True}
        )
        with monkeypatch.context() as patch:
            killed_at(patch, number, before)
            try:
                apply(kfp_server, new)
                break
            except Killed:
                names = [item["display_name"] for item in kfp_server.recurring.items.values()]
                assert {"a", "b"} <= set(names)  # none is lost
        apply(kfp_server, new)
        assert there(kfp_server)["a"] == ("ENABLED", f"0 {number} 2 * * *")
        assert there(kfp_server)["b"][0] == "DISABLED"
    else:
        raise AssertionError("it never came to its end")
    assert number > 5
    for names in kfp_server.enabled:
        assert len(names) == len(set(names)), "two of one name were active"


def test_a_replaced_schedules_runs_live_on(kfp_server: KfpServer, tmp_path: Path) -> None:
    kfp_server.runs.executes = False
    apply(kfp_server, write(tmp_path, {"name": "a"}))
    run = kfp_server.recurring.fire(next(iter(kfp_server.recurring.items)))
    assert run is not None
    apply(kfp_server, write(tmp_path, {"name": "a", "cron": "0 4 * * *"}))
    assert kfp_server.runs.items[run["run_id"]]["state"] == "PENDING"


def test_the_next_times_of_an_interval_stay_what_they_are(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    path = str(write(tmp_path, {"name": "often", "cron": None, "every": "6h"}))
    root = ("--root", "gs://bucket/root")
    command(kfp_server, "apply", path, *root)
    (item,) = kfp_server.recurring.items.values()
    made = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
    item["created_at"] = f"{made:%Y-%m-%dT%H:%M:%SZ}"
    expected = [f"{made + timedelta(hours=h):%Y-%m-%d %H:%M:%S}Z" for h in (24, 30, 36)]
    assert json.loads(command(kfp_server, "list", "--json").stdout)[0]["next"] == expected
    again = json.loads(command(kfp_server, "apply", path, *root, "--json").stdout)
    assert again == [{"action": "nothing", "name": "often", "next": expected}]
    item["trigger"] = {"cron_schedule": {"cron": "@daily"}}  # of somebody else
    assert command(kfp_server, "list").stdout == "active    often\n"


def test_the_commands(kfp_server: KfpServer, tmp_path: Path) -> None:
    kfp_server.runs.executes = False
    path = str(write(tmp_path, {"name": "nightly", "timezone": "Europe/Berlin"}))
    root = ("--root", "gs://bucket/root")
    dry = command(kfp_server, "apply", path, "--dry-run", *root)
    assert dry.exit_code == 0, dry.output
    assert dry.stdout.startswith("create    nightly                   next 20")
    assert dry.stdout.count("Z") == 3
    assert "Europe/Berlin changes its clocks about" in dry.stderr
    assert not kfp_server.calls("POST|DELETE")
    command(kfp_server, "apply", path, *root)
    assert command(kfp_server, "apply", path, *root).stdout.startswith("nothing")
    listed = json.loads(command(kfp_server, "list", "--json").stdout)
    assert [(row["name"], row["active"], len(row["next"])) for row in listed] == [
        ("nightly", True, 3)
    ]
    assert command(kfp_server, "pause", "nightly").stdout == "nightly is paused\n"
    assert command(kfp_server, "list").stdout == "paused    nightly\n"
    assert command(kfp_server, "resume", "nightly").stdout == "nightly is active\n"
    run_id = command(kfp_server, "trigger", "nightly").stdout.splitlines()[0]
    assert kfp_server.runs.items[run_id]["runtime_config"] == {
        "parameters": {"root": "gs://bucket/root"}
    }
    assert command(kfp_server, "delete", "nightly").exit_code == 0
    assert kfp_server.recurring.items == {}
    missing = command(kfp_server, "delete", "nightly")
    assert (missing.exit_code, "no schedule 'nightly'; there are: none" in missing.stderr) == (
        1,
        True,
    )
    no_root = command(kfp_server, "apply", path)
    assert (no_root.exit_code, "no root that pods can reach" in no_root.stderr) == (1, True)


def test_a_schedule_that_the_server_cannot_read_is_listed_with_its_reason(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    apply(kfp_server, write(tmp_path, {"name": "a"}, {"name": "b"}))
    identity = next(iter(kfp_server.recurring.items))
    kfp_server.recurring.spoil(identity)
    lines = command(kfp_server, "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["broken", identity], ["active", "b"]]
    assert "error: Failed to convert" in lines[0]
    row = json.loads(command(kfp_server, "list", "--json").stdout)[0]
    assert (row["name"], row["active"], "Failed to convert" in row["error"]) == (None, False, True)
    # It may be of this file, and there would be two.
    with pytest.raises(AeganError, match=f"schedule {identity} cannot be read by the server"):
        apply(kfp_server, write(tmp_path, {"name": "a"}, {"name": "b"}))
    assert len(kfp_server.recurring.items) == 2
    assert command(kfp_server, "delete", "b").exit_code == 0
    assert "there are: none" in command(kfp_server, "delete", "b").stderr


def test_what_a_killed_application_left_is_not_made_active_twice(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    apply(kfp_server, write(tmp_path, {"name": "a"}))
    (item,) = kfp_server.recurring.items.values()
    kfp_server.recurring.items["twin"] = item | {"recurring_run_id": "twin", "status": "DISABLED"}
    assert command(kfp_server, "resume", "a").stdout == "a is active\n"
    assert kfp_server.recurring.items["twin"]["status"] == "DISABLED"
