"""The command `aegan doctor` as a whole: what it is told, what it prints, how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines import cli
from aegan_pipelines.cli_watch import watch
from aegan_pipelines.doctor import machine
from aegan_pipelines.doctor.check import Check
from aegan_pipelines.doctor.command import doctor
from click.testing import CliRunner

from tests.conftest import context_file
from tests.kfp_server import KfpServer


@pytest.fixture(autouse=True)
def alone(no_surroundings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster, no address, no token, and no time spent on importing TensorFlow."""
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    monkeypatch.setattr(machine, "gpu", lambda: Check("GPU", "skip", "not looked at"))


def told(*arguments: str, exits: int = 0) -> dict[str, Any]:
    """The checks that the command makes, by name."""
    done = CliRunner().invoke(doctor, [*arguments, "--json"])
    assert done.exit_code == exits, done.output
    return {item["name"]: item for item in json.loads(done.stdout)["checks"]}


def test_without_a_cluster_the_rest_is_checked(tmp_path: Path) -> None:
    done = CliRunner().invoke(doctor, ["digits", "--root", str(tmp_path / "root")])
    assert done.exit_code == 0, done.output
    assert "skip  cluster              no kubeconfig, and this is no pod" in done.output
    assert "skip  API server           no --host was given" in done.output
    assert "ok    configuration        digits is valid" in done.output


def test_json_holds_every_check_and_a_failure_exits_with_1(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("name: x\ndata: {source: digits, kind: 3}\n")
    done = CliRunner().invoke(doctor, [str(config), "--root", str(tmp_path / "root"), "--json"])
    assert done.exit_code == 1
    tree = json.loads(done.stdout)
    assert tree["failed"] == 1
    (failed,) = [item for item in tree["checks"] if item["status"] == "fail"]
    assert failed["name"] == "configuration"
    assert "data.kind" in failed["text"]
    assert set(failed) == {"name", "status", "text", "cure"}


def test_options_of_the_other_commands_hold_here(tmp_path: Path) -> None:
    ours = {option for item in doctor.params for option in item.opts}
    theirs = {option for item in watch.params for option in item.opts if option.startswith("--")}
    assert {"--set", "--root", "--host", "--iap-client-id", "--namespace", "--json"} <= theirs
    assert theirs - ours == {"--experiment", "--service-account", "--min-bytes", "--min-files"}
    assert cli.main.commands["doctor"] is doctor
    root = ("--root", str(tmp_path / "root"))
    wrong = told("digits", *root, "--set", "gan.steps=none", exits=1)
    assert "gan.steps" in wrong["configuration"]["text"]
    assert told("digits", *root, "--set", "gan.steps=5")["configuration"]["status"] == "ok"
    done = CliRunner().invoke(doctor, ["--set", "gan.steps=5"])
    assert (done.exit_code, "none was given" in done.output) == (2, True)


def test_the_root_is_the_options_then_that_of_the_context_file(tmp_path: Path) -> None:
    context_file(f"root: {tmp_path / 'ours'}\n")
    assert str(tmp_path / "ours") in told()["root writable"]["text"]
    assert (
        str(tmp_path / "given") in told("--root", str(tmp_path / "given"))["root writable"]["text"]
    )


def test_a_gpu_that_cannot_be_asked_is_one_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> Check:
        raise PermissionError("no more processes")

    monkeypatch.setattr(machine, "gpu", broken)
    checks = told("--root", str(tmp_path / "root"), exits=1)
    assert (checks["GPU"]["status"], checks["root writable"]["status"]) == ("fail", "ok")
    assert checks["GPU"]["text"] == "PermissionError: no more processes"


def test_a_broken_context_file_is_one_failure_and_the_rest_is_checked(tmp_path: Path) -> None:
    context_file("token: [hush-hush\n")
    checks = told("digits", "--host", "http://127.0.0.1:9", exits=1)
    failed = [name for name, item in checks.items() if item["status"] == "fail"]
    assert failed == ["context"]
    assert "is not valid YAML" in checks["context"]["text"]
    assert "hush-hush" not in json.dumps(checks)
    for name in ("root", "API server"):
        assert checks[name]["status"] == "skip"
        assert "the context file comes first" in checks[name]["text"]
    assert checks["configuration"]["status"] == checks["disk"]["status"] == "ok"
    assert told("--root", str(tmp_path / "root"), exits=1)["root writable"]["status"] == "ok"


def test_the_command_against_a_server_and_without_one(
    kfp_server: KfpServer, tmp_path: Path
) -> None:
    kfp_server.token, kfp_server.multi_user = "top.secret.token", True
    (tmp_path / "token").write_text("top.secret.token")
    place = ("digits", "--root", str(tmp_path / "root"), "--host", kfp_server.url)
    who = ("--token-file", str(tmp_path / "token"), "--namespace", "team")
    names = ("API server", "API version", "API access")
    assert [told(*place, *who)[name]["status"] for name in names] == ["ok", "ok", "ok"]
    kfp_server.tag = "2.4.0"  # older: said, and no failure
    assert told(*place, *who)["API version"]["status"] == "warn"
    kfp_server.fail(503, times=9, match="/runs")
    broken = told(*place, *who, exits=1)
    assert "HTTP 503" in broken["API access"]["text"]
    assert broken["root writable"]["status"] == "ok"
    refused = told(*place, exits=1)
    assert "HTTP 401" in refused["API server"]["text"]
    assert "API access" not in refused
    done = CliRunner().invoke(doctor, [*place, *who])
    assert "top.secret.token" not in done.output
