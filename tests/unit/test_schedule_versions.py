"""What a schedule runs when it fires is what its file, and `docs/cluster.md`, say."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from re import fullmatch

import pytest
from aegan_pipelines import scheduled, submission
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.rest import Api

from aegan.config_file import validate
from aegan.errors import ConfigError
from tests.conftest import tiny
from tests.kfp_server import KfpServer, pipelines, specs
from tests.schedules import CONTEXT, Killed, apply, killed_at, write

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("compiled_once")


def fired(server: KfpServer) -> dict[str, int]:
    """The seed of the configuration that each schedule runs when it fires, by the schedule's name."""
    seeds = {}
    for identity, item in server.recurring.items.items():
        run = server.recurring.fire(identity)
        assert run is not None
        server.runs.terminate(run["run_id"])
        version = server.pipelines.versions[
            run["pipeline_version_reference"]["pipeline_version_id"]
        ]
        declared = specs.pipeline_spec(version["pipeline_spec"])["root"]["inputDefinitions"]
        default = declared["parameters"]["config"]["defaultValue"]
        seeds[item["display_name"]] = json.loads(default)["seed"]
    return seeds


def test_what_runs_is_what_the_file_says_also_after_it_was_taken_back(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    kfp_server.runs.executes = False
    new, kept = {"name": "new", "version": "latest"}, {"name": "kept"}
    assert apply(kfp_server, write(tmp_path, new, kept)) == ["create", "create"]
    ids = list(kfp_server.recurring.items)
    for seed in (9, 10, 9, 3):  # 3 is that of the file
        path = write(tmp_path, new | {"set": [f"seed={seed}"]}, kept)
        assert apply(kfp_server, path) == ["update", "nothing"]
        assert fired(kfp_server) == {"new": seed, "kept": 3}
        calls = len(kfp_server.calls("POST|DELETE"))
        assert apply(kfp_server, path) == ["nothing", "nothing"]
        assert len(kfp_server.calls("POST|DELETE")) == calls
    for version in kfp_server.pipelines.versions.values():
        assert fullmatch(r"[0-9a-f]{16}(-\d{8}t\d{6}-[0-9a-f]{4})?", version["name"])
    assert list(kfp_server.recurring.items) == ids  # it follows without being made anew
    for seed in (9, 10, 9):
        path = write(tmp_path, kept | {"set": [f"seed={seed}"]}, new)
        assert apply(kfp_server, path) == ["replace", "nothing"]
        assert fired(kfp_server) == {"new": 3, "kept": seed}


def test_what_others_upload_is_the_latest_until_the_file_is_applied_again(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    kfp_server.runs.executes = False
    api = Api(kfp_server.url, Credentials(), backoff=0.01)
    paused = {"name": "new", "version": "latest", "paused": True}
    apply(kfp_server, write(tmp_path, paused))
    identity = next(iter(kfp_server.recurring.items))
    time.sleep(1.1)  # the server counts in seconds
    submission.submit(api, validate(tiny(seed=9), "test"), "gs://bucket/root", CONTEXT)
    scheduled.set_enabled(api, {"recurring_run_id": identity}, True)
    assert fired(kfp_server) == {"new": 9}
    assert apply(kfp_server, write(tmp_path, paused | {"paused": False})) == ["update"]
    assert fired(kfp_server) == {"new": 3}
    assert apply(kfp_server, write(tmp_path, paused)) == ["pause"]


def test_a_pinned_version_that_was_deleted_is_uploaded_and_pinned_again(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    kfp_server.runs.executes = False
    path = write(tmp_path, {"name": "a"})
    apply(kfp_server, path)
    kfp_server.pipelines.versions.clear()
    kfp_server.fail(502, match="POST .*/recurringruns", afterwards=True)  # made; we cannot know
    assert apply(kfp_server, path) == ["replace"]
    assert fired(kfp_server) == {"a": 3}
    assert apply(kfp_server, path) == ["nothing"]


def test_two_cannot_want_different_latest_versions(kfp_server: KfpServer, tmp_path: Path) -> None:
    one, two = {"name": "a", "version": "latest"}, {"name": "b", "version": "latest"}
    assert apply(kfp_server, write(tmp_path, one, two)) == ["create", "create"]
    with pytest.raises(ConfigError, match="b: it and a both run the latest version of aegan-tiny"):
        apply(kfp_server, write(tmp_path, one, two | {"set": ["seed=9"]}))
    with pytest.raises(ConfigError, match="has no version named 'v7'"):
        apply(kfp_server, write(tmp_path, {"name": "x", "version": "v7"}))


@pytest.mark.parametrize("before", [True, False], ids=["before-the-call", "after-the-call"])
def test_killed_between_any_two_calls_the_latest_is_what_the_file_says_when_applied_again(
    kfp_server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    kfp_server.runs.executes = False
    seconds = itertools.count()  # uploads of one second need a pause each: here all differ
    monkeypatch.setattr(
        pipelines, "now", lambda: f"{EPOCH + timedelta(seconds=next(seconds)):%FT%TZ}"
    )
    new, kept = {"name": "new", "version": "latest"}, {"name": "kept"}
    for number in range(1, 60):
        apply(kfp_server, write(tmp_path, new | {"set": ["seed=9"]}, kept))
        path = write(tmp_path, new, kept)
        with monkeypatch.context() as patch:
            killed_at(patch, number, before)
            try:
                apply(kfp_server, path)
                break
            except Killed:
                assert {"new", "kept"} <= {
                    item["display_name"] for item in kfp_server.recurring.items.values()
                }
        apply(kfp_server, path)
        assert fired(kfp_server) == {"new": 3, "kept": 3}
        assert apply(kfp_server, path) == ["nothing", "nothing"]
    else:
        raise AssertionError("it never came to its end")
    assert number > 10
    assert all(len(names) == len(set(names)) for names in kfp_server.enabled)
