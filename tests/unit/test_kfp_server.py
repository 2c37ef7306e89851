"""The double of the API server holds the real one's rules, as the real client sees them."""

# No `from __future__ import annotations` here: kfp reads the annotations' values.
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest
import yaml
from kfp import compiler, dsl

from tests.kfp_server import KfpServer


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def write(path: str, text: str) -> str:
    from pathlib import Path

    if text == "fail":
        raise ValueError("told to fail")
    if text == "wait":
        import time

        time.sleep(60)
    Path(path).write_text(text)
    return text


@dsl.pipeline(name="writer")
def writer(path: str, text: str = "written") -> None:
    write(path=path, text=text)


@pytest.fixture
def package(tmp_path: Path) -> str:
    compiler.Compiler().compile(writer, str(tmp_path / "writer.yaml"))
    return str(tmp_path / "writer.yaml")


@pytest.fixture
def client(kfp_server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    return kfp.Client(host=kfp_server.url)


def refused(call: Callable[[], Any]) -> int:
    with pytest.raises(kfp_server_api.ApiException) as caught:
        call()
    return int(caught.value.status)


def send(server: KfpServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body).encode()
    url = f"{server.url}/apis/v2beta1{path}"
    request = urllib.request.Request(url, content, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def ended(server: KfpServer, run_id: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = str(server.runs.items[run_id]["state"])
        if state in ("SUCCEEDED", "FAILED", "CANCELED"):
            return state
        time.sleep(0.05)
    raise AssertionError(server.runs.log(run_id))


def test_the_real_client_uploads_runs_and_reads_back(
    client: Any, kfp_server: KfpServer, package: str, tmp_path: Path
) -> None:
    assert client.get_kfp_healthz().multi_user is False
    pipeline = client.upload_pipeline(package, "writer")
    version = client.upload_pipeline_version(package, "v2", pipeline_name="writer")
    assert client.get_pipeline_id("writer") == pipeline.pipeline_id
    assert client.get_pipeline_id("WRITER") == pipeline.pipeline_id  # filters ignore case
    names = [v.name for v in client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions]
    assert names == ["writer", "v2"]
    experiment = client.create_experiment("mine")
    assert client.create_experiment("mine").experiment_id == experiment.experiment_id
    run = client.run_pipeline(
        experiment.experiment_id,
        "one",
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        params={"path": str(tmp_path / "out")},
    )
    assert ended(kfp_server, run.run_id) == "SUCCEEDED"
    assert (tmp_path / "out").read_text() == "written"
    found = client.get_run(run.run_id)
    assert found.state == "SUCCEEDED"
    names = {t.display_name for t in found.run_details.task_details}
    assert {"root", "root-driver", "write", "write-driver", "executor"} < names
    assert [h.state for h in found.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]


def test_terminating_ends_the_processes_and_only_once(
    client: Any, kfp_server: KfpServer, package: str, tmp_path: Path
) -> None:
    parameters = {"path": str(tmp_path / "out"), "text": "wait"}
    run = client.create_run_from_pipeline_package(package, parameters, run_name="one")
    client.terminate_run(run.run_id)
    assert ended(kfp_server, run.run_id) == "FAILED"
    assert [h.state for h in client.get_run(run.run_id).state_history][-2:] == [
        "CANCELING",
        "FAILED",
    ]
    status, body = send(kfp_server, "POST", f"/runs/{run.run_id}:terminate")
    assert status == 400
    assert "Row not affected" in body["message"]


def test_names_are_unique_and_uploads_bounded(
    client: Any, kfp_server: KfpServer, package: str, tmp_path: Path
) -> None:
    pipeline = client.upload_pipeline(package, "writer")
    client.upload_pipeline_version(package, "v2", pipeline_id=pipeline.pipeline_id)
    assert refused(lambda: client.upload_pipeline(package, "writer")) == 409
    again = lambda: client.upload_pipeline_version(package, "v2", pipeline.pipeline_id)  # noqa: E731
    assert refused(again) == 409
    large = tmp_path / "large.yaml"
    large.write_text(Path(package).read_text() + "#" * (32 << 20))
    assert refused(lambda: client.upload_pipeline(str(large), "large")) == 400
    assert send(kfp_server, "POST", "/experiments", {"display_name": "Default"})[0] == 409
    assert send(kfp_server, "POST", "/pipelines", {"display_name": "empty"})[0] == 200
    assert send(kfp_server, "POST", "/pipelines", {"display_name": "empty"})[0] == 409
    for name in ("a-", "-a", "A", "20300101T000000"):  # no names of Kubernetes objects
        assert send(kfp_server, "POST", "/pipelines", {"display_name": name})[0] == 400
        version = lambda: client.upload_pipeline_version(package, name, pipeline.pipeline_id)  # noqa: B023, E731
        assert refused(version) == 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"display_name": ""}, "The run name is empty"),
        ({"display_nam": "x"}, "unknown field 'display_nam'"),
        ({"runtime_config": {"parameters": {}}}, "input parameter path is not optional"),
        ({"runtime_config": {"parameters": {"path": 7}}}, "requires type STRING"),
        (
            {"runtime_config": {"parameters": {"path": "x", "pth": "y"}}},
            "parameter(s) provided are not required by pipeline: pth",
        ),
        ({"pipeline_spec": {"root": {}, "rot": 1}}, "invalid v2 pipeline spec"),
        ({"pipeline_spec": None}, "Either a pipeline spec or a pipeline version reference"),
        ({"state": "DONE"}, "'DONE' is no V2beta1RuntimeState"),
        ({"runtime_config": []}, "expected a V2beta1RuntimeConfig"),
    ],
)
def test_bodies_are_checked(
    kfp_server: KfpServer, package: str, change: dict[str, Any], message: str
) -> None:
    spec = yaml.safe_load(Path(package).read_text())
    body = {"display_name": "x", "pipeline_spec": spec} | change
    status, answer = send(kfp_server, "POST", "/runs", body)
    assert status == 400
    assert message in answer["message"]


def test_lists_have_pages_that_keep_their_criteria(kfp_server: KfpServer) -> None:
    for number in range(25):
        kfp_server.experiments.create(json.dumps({"display_name": f"e{number:02}"}).encode())
    _, first = send(kfp_server, "GET", "/experiments")
    assert (len(first["experiments"]), first["total_size"]) == (20, 26)
    token = first["next_page_token"]
    _, second = send(kfp_server, "GET", f"/experiments?page_token={token}")
    assert [e["display_name"] for e in second["experiments"]] == [f"e{n}" for n in range(19, 25)]
    assert "next_page_token" not in second
    status, body = send(kfp_server, "GET", f"/experiments?page_token={token}&sort_by=name")
    assert status == 400
    assert "page token does not match" in body["message"]
    assert send(kfp_server, "GET", "/experiments?page_size=-1")[0] == 400
    assert send(kfp_server, "GET", "/experiments?sort_by=colour")[0] == 400
    assert send(kfp_server, "GET", "/experiments?filter=%7Bbroken")[0] == 400
    everything = send(kfp_server, "GET", "/experiments?page_size=1000")[1]
    assert len(everything["experiments"]) == 26


def test_a_list_of_a_namespace_holds_nothing_of_another(
    kfp_server: KfpServer, package: str
) -> None:
    kfp_server.multi_user, kfp_server.runs.executes = True, False
    spec = yaml.safe_load(Path(package).read_text())
    for name in ("a", "b"):
        body = {"display_name": "same", "namespace": name}
        assert send(kfp_server, "POST", "/pipelines", body)[0] == 200
        experiment = send(kfp_server, "POST", "/experiments", body)[1]["experiment_id"]
        body = {"display_name": f"run {name}", "experiment_id": experiment, "pipeline_spec": spec}
        body["runtime_config"] = {"parameters": {"path": "x"}}
        assert send(kfp_server, "POST", "/runs", body)[0] == 200
        body = recurring(package, display_name=f"schedule {name}", experiment_id=experiment)
        assert send(kfp_server, "POST", "/recurringruns", body)[0] == 200

    def listed(path: str, key: str, namespace: str) -> list[str]:
        answer = send(kfp_server, "GET", f"/{path}?namespace={namespace}")[1]
        return [item["display_name"] for item in answer.get(key, [])]

    for name in ("a", "b"):
        assert listed("pipelines", "pipelines", name) == ["same"]
        assert listed("runs", "runs", name) == [f"run {name}"]
        assert listed("recurringruns", "recurringRuns", name) == [f"schedule {name}"]
    assert send(kfp_server, "GET", "/pipelines")[1]["total_size"] == 0  # none is shared by all


def recurring(package: str, **change: Any) -> dict[str, Any]:
    return {
        "display_name": "nightly",
        "pipeline_spec": yaml.safe_load(Path(package).read_text()),
        "runtime_config": {"parameters": {"path": "/nowhere/x", "text": "wait"}},
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
        "max_concurrency": "1",
        "mode": "ENABLE",
    } | change


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"trigger": {"cron_schedule": {"cron": "0 3 * * *"}}}, 200),  # seconds first, all the same
        ({"trigger": {"cron_schedule": {"cron": "0 3 * *"}}}, 400),
        ({"trigger": {"cron_schedule": {"cron": "0 0 25 * * *"}}}, 400),
        ({"trigger": {"periodic_schedule": {"interval_second": "0"}}}, 400),
        ({"trigger": {"periodic_schedule": {"interval_second": "60"}}}, 200),
        ({"trigger": {}}, 400),
        ({"max_concurrency": "11"}, 400),
        ({"max_concurrency": "0"}, 400),
    ],
)
def test_schedules_are_checked(
    kfp_server: KfpServer, package: str, change: dict[str, Any], status: int
) -> None:
    assert send(kfp_server, "POST", "/recurringruns", recurring(package, **change))[0] == status


def test_deleting_a_schedule_ends_its_runs_unless_they_are_orphaned(
    kfp_server: KfpServer, package: str
) -> None:
    states = []
    for policy in ("", "?propagation_policy=ORPHAN"):
        item = send(kfp_server, "POST", "/recurringruns", recurring(package))[1]
        identity = item["recurring_run_id"]
        assert send(kfp_server, "PATCH", f"/recurringruns/{identity}", {})[0] == 404  # no update
        run = kfp_server.recurring.fire(identity)
        assert run is not None
        assert kfp_server.recurring.fire(identity) is None  # at most one at once
        assert send(kfp_server, "DELETE", f"/recurringruns/{identity}{policy}")[0] == 200
        time.sleep(0.2)
        states.append(kfp_server.runs.items[run["run_id"]]["state"])
    assert states == ["FAILED", "RUNNING"]


def test_faults_are_injected_so_often_and_where_they_should(kfp_server: KfpServer) -> None:
    kfp_server.fail(503, times=2, match="GET .*/runs")
    assert [send(kfp_server, "GET", "/runs")[0] for _ in range(3)] == [503, 503, 200]
    kfp_server.fail(502, match="POST .*/experiments", afterwards=True)
    assert send(kfp_server, "POST", "/experiments", {"display_name": "x"})[0] == 502
    assert send(kfp_server, "POST", "/experiments", {"display_name": "x"})[0] == 409
