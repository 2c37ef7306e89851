"""`aegan submit` and `aegan runs` against a server that really runs what is submitted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from aegan.loading import load
from tests.conftest import heed_signals, tiny
from tests.gcs import StrictEmulator
from tests.kfp_server import KfpServer

AEGAN = str(Path(sys.executable).with_name("aegan"))
SECRET = "s3cret-token-of-a-person"
FINAL = ("SUCCEEDED", "FAILED", "CANCELED")


@pytest.fixture(scope="module")
def server() -> Iterator[KfpServer]:
    with KfpServer() as running:
        running.runs.environment = {"AEGAN_PROGRESS_SECONDS": "0.2"}
        yield running


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, emulator: StrictEmulator, server: KfpServer
) -> Path:
    """A home with a configuration, and with a context that names a bucket as the root of all runs."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny(compute={"retries": 1})))
    (folder / ".config" / "aegan").mkdir(parents=True)
    context = {"host": server.url, "root": emulator.new_prefix(), "experiment": "tests"}
    (folder / ".config" / "aegan" / "context.yaml").write_text(yaml.safe_dump(context))
    server.runs.environment["STORAGE_EMULATOR_HOST"] = emulator.url
    return folder


def root_of(place: Path) -> str:
    context = yaml.safe_load((place / ".config" / "aegan" / "context.yaml").read_text())
    return str(context["root"])


def environment(server: KfpServer, place: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AEGAN_", "KF_"))}
    return kept | {"HOME": str(place)} | server.runs.environment


def cli(
    server: KfpServer, place: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AEGAN, *arguments],
        capture_output=True,
        text=True,
        cwd=place,
        env=environment(server, place) | more,
    )


def submit(server: KfpServer, place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return cli(server, place, "submit", "tiny.yaml", *more)


def ended(server: KfpServer, run_id: str) -> str:
    deadline = time.monotonic() + 90
    while server.runs.items[run_id]["state"] not in FINAL:
        assert time.monotonic() < deadline, server.runs.log(run_id)
        time.sleep(0.1)
    return str(server.runs.items[run_id]["state"])


@pytest.fixture(scope="module")
def published(server: KfpServer, place: Path) -> subprocess.CompletedProcess[str]:
    return submit(server, place, "--follow")


def test_following_shows_the_stages_and_ends_with_the_published_alias(
    published: subprocess.CompletedProcess[str],
    server: KfpServer,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert published.returncode == 0, published.stderr
    assert "uploaded pipeline aegan-tiny, version " in published.stderr
    assert f"{server.url}/#/runs/details/" in published.stderr
    for stage in ("normalize", "train_autoencoder", "train_gan", "evaluate", "publish"):
        lines = [line for line in published.stderr.splitlines() if line.startswith(f"{stage} ")]
        assert any("started" in line for line in lines), published.stderr
        assert sum(" done" in line for line in lines) == 1, published.stderr
    assert "models/tiny@champion →" in published.stdout
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.runs.environment["STORAGE_EMULATOR_HOST"])
    model = load(f"{root_of(place)}/models/tiny@champion")
    assert model.sample(3, seed=1).shape == (3, 8, 8, 1)


def test_submitting_again_uploads_nothing_and_reuses_every_stage(
    published: subprocess.CompletedProcess[str], server: KfpServer, place: Path
) -> None:
    uploads = len(server.calls("POST .*/pipelines"))
    again = submit(server, place, "--wait", "--json")
    assert again.returncode == 0, again.stderr
    facts = json.loads(again.stdout)
    assert (facts["uploaded"], facts["status"]) == (False, "published")
    assert facts["record"]["state"] == "COMPLETE"  # as a cluster says, and kfp.local does not
    assert all(stage["reused"] for stage in facts["record"]["stages"].values())
    assert facts["record"]["run_id"] == facts["run_id"]
    assert len(server.calls("POST .*/pipelines")) == uploads
    run = server.runs.items[facts["run_id"]]
    assert run["runtime_config"]["parameters"] == {"root": root_of(place)}


def test_a_rejected_model_exits_with_3(
    published: subprocess.CompletedProcess[str], server: KfpServer, place: Path
) -> None:
    override = "evaluation.thresholds={reconstruction_mse: {max: 1.0e-9}}"
    done = submit(server, place, "--wait", "--set", override)
    assert done.returncode == 3, done.stderr
    assert "published  nothing: the gate rejected this model" in done.stdout


def test_a_failed_run_exits_with_1_and_can_be_resumed(server: KfpServer, place: Path) -> None:
    override = ("--set", "data.source=/nowhere/data.npy")
    done = submit(server, place, "--follow", *override)
    assert done.returncode == 1
    assert "no data at /nowhere/data.npy" in done.stderr
    assert "Traceback" not in done.stderr
    run_id = done.stderr.split("aegan runs resume ")[1].split("`")[0]
    shown = json.loads(cli(server, place, "runs", "show", run_id, "--json").stdout)
    assert (shown["state"], shown["record"]["status"]) == ("FAILED", "failed")
    steps = [(task["name"], task["state"]) for task in shown["tasks"]]
    assert steps == [("normalize", "FAILED"), ("record", "SUCCEEDED")]
    assert "no data at" in cli(server, place, "runs", "logs", run_id).stdout
    resumed = cli(server, place, "runs", "resume", run_id, "--follow")
    assert (resumed.returncode, "no data at /nowhere/data.npy" in resumed.stderr) == (1, True)
    other = resumed.stderr.split("aegan runs resume ")[1].split("`")[0]
    assert other != run_id


def test_a_cancelled_run_goes_on_as_a_new_one_with_its_parameters(
    server: KfpServer, place: Path
) -> None:
    done = submit(server, place, "--json", "--set", "autoencoder.steps=200000")
    run_id = json.loads(done.stdout)["run_id"]
    assert cli(server, place, "runs", "resume", run_id).returncode == 1  # still at work
    assert run_id in cli(server, place, "runs", "cancel", run_id).stdout
    assert ended(server, run_id) == "FAILED"  # so the server says; asked by us, it was cancelled
    assert cli(server, place, "runs", "cancel", run_id).stdout == f"{run_id} is CANCELED\n"
    resumed = cli(server, place, "runs", "resume", run_id)
    assert resumed.returncode == 0, resumed.stderr
    other = resumed.stdout.splitlines()[0]
    first, second = server.runs.items[run_id], server.runs.items[other]
    for key in ("runtime_config", "pipeline_version_reference", "experiment_id"):
        assert first[key] == second[key]
    cli(server, place, "runs", "cancel", other)
    listed = json.loads(cli(server, place, "runs", "list", "--json", "--limit", "2").stdout)
    assert [row["run_id"] for row in listed] == [other, run_id]
    assert listed[1]["state"] == "CANCELED"
    assert other in cli(server, place, "runs", "list").stdout
    assert ended(server, other) == "FAILED"


def test_ctrl_c_leaves_the_run_going_and_says_how_to_end_it(server: KfpServer, place: Path) -> None:
    command = [AEGAN, "submit", "tiny.yaml", "--follow"]
    process = subprocess.Popen(
        [*command, "--set", "autoencoder.steps=200000"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env=environment(server, place),
        preexec_fn=heed_signals,
    )
    assert process.stderr is not None
    while "train_autoencoder" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=20) == 130
    run_id = rest.split("to end it: aegan runs cancel ")[1].strip()
    assert server.runs.items[run_id]["state"] == "RUNNING"
    cli(server, place, "runs", "cancel", run_id)
    assert ended(server, run_id) == "FAILED"


def test_a_run_that_was_cancelled_elsewhere_ends_the_waiting(
    server: KfpServer, place: Path
) -> None:
    server.fail(503, match="GET .*/runs/")  # once, on the way
    process = subprocess.Popen(
        [AEGAN, "submit", "tiny.yaml", "--wait", "--set", "autoencoder.steps=200000"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env=environment(server, place),
    )
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith("run "):
        assert line
    server.runs.terminate(line.split()[1])
    assert process.wait(timeout=30) == 1
    assert "CANCELED" in process.stderr.read()


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "does not know who you are"), (403, "role kubeflow-edit"), (503, "5 times in a row")],
)
def test_refusals_are_one_message_without_the_token(
    server: KfpServer, place: Path, status: int, message: str
) -> None:
    server.fail(status, times=5 if status == 503 else 1)
    done = cli(server, place, "runs", "list", AEGAN_TOKEN=SECRET)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr


def test_a_root_that_pods_cannot_share_and_a_missing_one_are_refused(
    server: KfpServer, place: Path
) -> None:
    done = cli(server, place, "submit", "tiny.yaml", "--root", "runs")
    assert done.returncode == 2
    assert "pods do not share your folder; expected --root gs://bucket/path" in done.stderr
    done = cli(
        server, place, "submit", "tiny.yaml", AEGAN_CONTEXT="/dev/null", AEGAN_HOST=server.url
    )
    assert (done.returncode, "no root was given" in done.stderr) == (2, True)
    assert "not found at" in cli(server, place, "runs", "show", "nothing").stderr
