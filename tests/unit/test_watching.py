"""A run when the data has changed, and exactly one."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aegan_pipelines import cluster, watching
from aegan_pipelines.context import Context
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.rest import Api
from aegan_pipelines.watching import Watched, list_source

from aegan.config_file import validate
from aegan.errors import AeganError, DataError
from aegan.store import open_store
from tests.conftest import tiny
from tests.kfp_server import KfpServer


@pytest.fixture
def look(kfp_server: KfpServer, root: str) -> Callable[..., Watched]:
    kfp_server.runs.executes = False
    open_store(root).write("data/a.npy", b"x" * 100)

    def watch(into: str = "out", seed: int = 3, **least: int) -> Watched:
        config = validate(tiny(data={"source": f"{root}/data"}, seed=seed), "tiny")
        api = Api(kfp_server.url, Credentials(), backoff=0.01)
        return watching.watch(api, config, f"{root}/{into}", Context(), **least)

    return watch


def test_a_change_that_is_large_enough_is_submitted_once(
    look: Callable[..., Watched], kfp_server: KfpServer, root: str
) -> None:
    first = look()
    assert (first.outcome, first.new_bytes, first.new_files) == ("submitted", 100, 1)
    assert look() == Watched("unchanged", 0, 0, first.run_id)
    open_store(root).write("data/b.npy", b"y" * 50)
    assert look(min_bytes=51) == Watched("too-little", 50, 1, None)
    assert look(min_files=2).outcome == "too-little"
    second = look(min_bytes=50)
    assert (second.outcome, second.new_bytes) == ("submitted", 50)
    open_store(root).write("data/a.npy", b"z" * 100)  # of the same size
    assert look().new_bytes == 100
    assert len(kfp_server.runs.items) == 3


def test_each_root_has_a_run_of_its_own(
    look: Callable[..., Watched], kfp_server: KfpServer, root: str
) -> None:
    runs = {into: look(into) for into in ("prod", "dev")}
    assert [run.outcome for run in runs.values()] == ["submitted", "submitted"]
    roots = {
        str(run_id): run["runtime_config"]["parameters"]["root"]
        for run_id, run in kfp_server.runs.items.items()
    }
    assert roots == {run.run_id: f"{root}/{into}" for into, run in runs.items()}


@pytest.mark.parametrize("least", [{}, {"min_bytes": 1}])
def test_a_changed_configuration_is_no_new_data_and_the_next_run_takes_it(
    look: Callable[..., Watched], kfp_server: KfpServer, root: str, least: dict[str, int]
) -> None:
    first = look()
    assert look(seed=4, **least) == Watched("unchanged", 0, 0, first.run_id)
    open_store(root).write("data/b.npy", b"y" * 50)
    second = look(seed=4, **least)
    assert (second.outcome, second.new_bytes) == ("submitted", 50)
    versions = {
        run["pipeline_version_reference"]["pipeline_version_id"]
        for run in kfp_server.runs.items.values()
    }
    assert len(versions) == 2


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_watcher_that_is_killed_leaves_what_the_next_needs_to_submit_once(
    look: Callable[..., Watched],
    kfp_server: KfpServer,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    create = cluster.create_run

    def killed(*arguments: Any) -> Any:
        if lost == "after":
            create(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "create_run", killed)
    with pytest.raises(KeyboardInterrupt):
        look()
    monkeypatch.setattr(cluster, "create_run", create)
    assert look().outcome == "submitted"
    assert look().outcome == "unchanged"
    assert len(kfp_server.runs.items) == 1


def test_what_was_refused_is_submitted_whatever_comes_meanwhile(
    look: Callable[..., Watched],
    kfp_server: KfpServer,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any) -> Any:
        raise AeganError("500")

    create = cluster.create_run
    monkeypatch.setattr(cluster, "create_run", refused)
    with pytest.raises(AeganError):
        look(min_bytes=100)
    monkeypatch.setattr(cluster, "create_run", create)
    open_store(root).write("data/b.npy", b"y" * 50)
    found = look(min_bytes=100)
    assert (found.outcome, found.new_bytes) == ("submitted", 100)
    assert look(min_bytes=100) == Watched("too-little", 50, 1, None)
    assert len(kfp_server.runs.items) == 1


def test_of_two_watchers_at_once_one_submits(
    look: Callable[..., Watched], kfp_server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = cluster.create_run

    def slow(*arguments: Any) -> Any:
        time.sleep(2)
        return create(*arguments)

    monkeypatch.setattr(cluster, "create_run", slow)
    with ThreadPoolExecutor() as pool:
        results = [pool.submit(look) for _ in range(2)]
    assert sorted(result.result().outcome for result in results) == ["submitted", "unchanged"]
    assert len(kfp_server.runs.items) == 1


def test_of_two_watchers_one_submits_though_the_turn_of_a_slow_one_was_taken_over(
    look: Callable[..., Watched],
    kfp_server: KfpServer,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed, results = watching.list_source, []
    monkeypatch.setattr(watching, "turn", lambda *_: contextlib.nullcontext())

    def meanwhile(source: str) -> Any:
        monkeypatch.setattr(watching, "list_source", listed)
        found = listed(source)
        note = open_store(f"{root}/out")
        read = note.read_versioned
        monkeypatch.setattr(type(note), "read_versioned", lambda _, name: between(read(name)))
        return found

    def between(answer: Any) -> Any:
        monkeypatch.undo()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
        results.append(look())
        return answer

    import os

    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    monkeypatch.setattr(watching, "list_source", meanwhile)
    results.append(look())
    assert [result.outcome for result in results] == ["submitted", "elsewhere"]
    assert len(kfp_server.runs.items) == 1


def test_the_listing_of_a_source(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    assert list(list_source(str(tmp_path / "x.npy"))) == ["x.npy"]
    assert list_source("digits") == list_source("digits")
    with pytest.raises(DataError, match="nothing lies at"):
        list_source(str(tmp_path / "y.npy"))
    with pytest.raises(DataError, match="names a whole bucket"):
        list_source("gs://bucket")


def test_the_note_is_readable(look: Callable[..., Watched], root: str) -> None:
    found = look()
    note = json.loads(open_store(f"{root}/out").read("watch/tiny.json") or b"{}")
    assert note["run_id"] == found.run_id
    assert note["listing"]["data/a.npy"][0] == 100


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_cron_job_builds_on_the_base_and_calls_a_command_that_exists(tmp_path: Path) -> None:
    from aegan_pipelines.cli import main

    manifests = Path(__file__).parents[2] / "manifests"
    shutil.copytree(manifests, tmp_path / "manifests")
    overlay = {
        "resources": ["../../base"],
        "components": ["../../components/watch"],
    }
    folder = tmp_path / "manifests" / "overlays" / "mine"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    command = ["kubectl", "kustomize", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    objects = list(yaml.safe_load_all(built))
    trees = {tree["kind"]: tree for tree in objects}
    pod = trees["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    maps = {
        tree["metadata"]["name"]: tree["data"] for tree in objects if tree["kind"] == "ConfigMap"
    }
    settings = maps[container["envFrom"][0]["configMapRef"]["name"]]
    variables = set(re.findall(r"\$\((\w+)\)", " ".join(container["args"])))
    assert variables
    assert variables <= settings.keys()
    assert pod["serviceAccountName"] == trees["ServiceAccount"]["metadata"]["name"]
    assert container["command"] == ["aegan"]
    watch = main.commands[container["args"][0]]
    known = {option for parameter in watch.params for option in parameter.opts}
    assert {w.partition("=")[0] for w in container["args"] if w.startswith("--")} <= known
