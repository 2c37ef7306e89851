"""Following a run by what its stages leave in the bucket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aegan_pipelines.credentials import Credentials
from aegan_pipelines.following import follow
from aegan_pipelines.rest import Api
from aegan_pipelines.run_details import Details

from aegan.config_file import from_json, validate, with_parameters
from aegan.stages.stage import stage_keys
from aegan.store import open_store
from tests.conftest import tiny
from tests.kfp_server import KfpServer

CONFIG = validate(tiny(), "tiny")
KEYS = stage_keys(CONFIG, "dataset")
BEGAN = "2030-01-01T10:00:00.000+00:00"


def at(minute: int) -> str:
    return f"2030-01-01T10:{minute:02}:00.000+00:00"


class Bucket:
    """A root in which stages are as far as a test says."""

    def __init__(self, root: str):
        self.root, self._store = root, open_store(root)
        began = {"run_id": "r", "started": BEGAN, "dataset_key": "dataset"}
        self._write("runs/r/began.json", began)

    def _write(self, name: str, tree: Any) -> None:
        self._store.write(name, json.dumps(tree).encode())

    def says(self, stage: str, starts: list[str], progress: str = "", *lines: list[str]) -> None:
        page = {"starts": starts, "progress": progress, "lines": lines, "at": at(0)}
        self._write(f"stages/{stage}/{KEYS[stage]}/progress.json", page)

    def fails(self, stage: str, when: str, error: str) -> None:
        self._write(f"stages/{stage}/{KEYS[stage]}/failure.json", {"at": when, "error": error})

    def finishes(self, stage: str, finished: str) -> None:
        result = {"attempt": "a", "finished": finished, "seconds": 61.0, "files": {}, "summary": {}}
        self._write(f"stages/{stage}/{KEYS[stage]}/stage.json", {"uri": "", **result})


def details(bucket: Bucket, **given: str) -> tuple[Details, list[tuple[str, str, str]]]:
    told: list[tuple[str, str, str]] = []
    given = {"config": CONFIG.to_json(), "root": bucket.root} | given
    return Details(given, "r", lambda *event: told.append(event)), told


def test_stages_retries_and_progress_are_told_once(root: str) -> None:
    bucket = Bucket(root)
    looked, told = details(bucket)
    assert not looked.look()
    bucket.finishes("normalize", "2029-12-31T00:00:00.000+00:00")
    bucket.says("train_autoencoder", [at(1)], "step 10/99", [at(1), "start", ""])
    assert looked.look()
    assert not looked.look()
    assert told == [
        ("normalize", "reused", "inputs unchanged since 2029-12-31T00:00:00.000+00:00"),
        ("train_autoencoder", "start", ""),
        ("train_autoencoder", "progress", "step 10/99"),
    ]
    told.clear()
    bucket.fails("train_autoencoder", at(2), "out of memory")
    looked.look()
    assert told == [("train_autoencoder", "error", "out of memory")]
    told.clear()
    lines = ([at(3), "info", "resumed at step 10"], [at(4), "done", "in 61 s"])
    bucket.says("train_autoencoder", [at(1), at(3)], "step 99/99", *lines)
    bucket.finishes("train_autoencoder", at(4))
    looked.look()
    assert told == [
        ("train_autoencoder", "start", "again, attempt 2"),
        ("train_autoencoder", "info", "resumed at step 10"),
        ("train_autoencoder", "done", "in 61 s"),
    ]


def test_what_earlier_runs_left_is_not_told_as_this_ones(root: str) -> None:
    bucket = Bucket(root)
    old = "2029-12-31T00:00:00.000+00:00"
    bucket.says("train_gan", [old], "step 5/9", [old, "info", "long ago"])
    bucket.finishes("train_gan", old)
    looked, told = details(bucket)
    assert not looked.look()
    assert told == []


def test_what_a_run_that_wants_everything_anew_will_not_use_is_not_told(root: str) -> None:
    bucket = Bucket(root)
    bucket.finishes("normalize", "2029-12-31T00:00:00.000+00:00")
    looked, told = details(bucket, fresh="again")
    assert not looked.look()
    assert told == []


def test_a_bucket_that_cannot_be_read_costs_the_details_and_not_the_following(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    kfp_server.runs.executes = False
    api, told = Api(kfp_server.url, Credentials()), []
    spec = {
        "pipelineInfo": {"name": "x"},
        "schemaVersion": "2.1.0",
        "root": {
            "inputDefinitions": {
                "parameters": {
                    "config": {"parameterType": "STRING", "defaultValue": "{}"},
                    "root": {"parameterType": "STRING"},
                }
            },
            "dag": {"tasks": {}},
        },
    }
    parameters = {"root": "s3://not/ours"}
    body = {
        "display_name": "x",
        "pipeline_spec": spec,
        "runtime_config": {"parameters": parameters},
    }
    run = kfp_server.runs.create(json.dumps(body).encode())

    def sleep(_: float) -> None:
        kfp_server.runs.set_state(kfp_server.runs.items[run["run_id"]], "SUCCEEDED")

    ended = follow(api, run["run_id"], lambda *event: told.append(event), sleep=sleep)
    assert ended == ("SUCCEEDED", "succeeded", None)
    assert told[0][:2] == ("run", "warning")
    assert "no details of its stages: cannot open s3://not/ours" in told[0][2]
    assert told[1] == ("run", "info", "pending")


def test_a_run_on_other_data_is_looked_for_under_its_own_keys(root: str) -> None:
    bucket, source = Bucket(root), "gs://other/data"
    given = stage_keys(from_json(with_parameters(CONFIG.to_json(), source)), "dataset")
    looked, told = details(bucket, data_source=source)
    for stage in KEYS:
        result = {"attempt": "a", "finished": at(1), "seconds": 1.0, "files": {}, "summary": {}}
        bucket._write(f"stages/{stage}/{given[stage]}/stage.json", {"uri": "", **result})
    looked.look()
    assert [stage for stage, event, _ in told if event == "done"] == list(KEYS)


def test_a_stage_of_which_only_the_record_is_left_is_told_with_its_time(root: str) -> None:
    bucket = Bucket(root)
    looked, told = details(bucket)
    bucket.finishes("normalize", at(1))
    assert looked.look()
    assert told == [("normalize", "done", "in 1:01")]
