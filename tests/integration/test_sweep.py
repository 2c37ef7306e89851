"""Sweeps through kfp.local on this machine, and on the server double that executes what it is given."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegan.registry import Registry
from aegan.stages.trial import read_trial
from aegan.store import open_store
from tests.conftest import heed_signals, tiny
from tests.gcs import StrictEmulator
from tests.kfp_server import KfpServer

AEGAN = str(Path(sys.executable).with_name("aegan"))
# No training split has so many rows: the trial passes validation and fails when it meets the data.
TOO_LARGE = "5000"


def sweep(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    # What is compiled by XLA takes longer to compile than these few steps take without.
    quick = {"compiler": "graph"}
    tree = tiny(autoencoder={"steps": 100} | quick, gan={"steps": 20} | quick)
    tree |= {"compute": {"retries": 0}, "evaluation": {"feature_steps": 20, "samples": 100}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tree))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AEGAN_", "KF_"))}
    return subprocess.run(
        [AEGAN, "sweep", "tiny.yaml", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=kept | {"HOME": str(folder)} | more,
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A sweep of three trials, two of which share an autoencoder; the third fails."""
    folder = tmp_path_factory.mktemp("sweep")
    grid = f"gan.batch_size=64,32,{TOO_LARGE}"
    done = sweep(folder, "--grid", grid, "--grid", "autoencoder.latent_size=8", "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def test_the_best_trial_is_published_under_the_usual_alias(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, record, _ = here
    assert record["status"] == "published"
    best = record["sweep"]["best"]
    scores = {t["number"]: t["score"] for t in record["sweep"]["trials"] if t["score"] is not None}
    assert set(scores) == {1, 2}
    assert scores[best] == min(scores.values())
    version, _ = Registry(str(folder / "aegan-root")).resolve("tiny", "champion")
    assert record["model"].endswith(version)
    settings = record["sweep"]["trials"][best - 1]["settings"]
    assert record["config"]["gan"]["batch_size"] == settings["gan.batch_size"]


def test_a_failed_trial_is_recorded_with_its_error_and_ends_no_other(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    _, record, narrated = here
    failed = record["sweep"]["trials"][2]
    assert "training rows are fewer than one batch of 5000" in failed["error"]
    assert "normalize#3       failed:" in narrated
    assert record["error"] is None


def test_what_trials_share_is_made_once_even_at_the_same_time(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, record, _ = here
    first, second, _ = record["sweep"]["trials"]
    for stage in ("normalize", "train_autoencoder"):
        both = [trial["stages"][stage] for trial in (first, second)]
        assert both[0]["uri"] == both[1]["uri"]
        assert sorted(done["reused"] for done in both) == [False, True]
        attempts = [p for p in Path(both[0]["uri"]).iterdir() if p.is_dir()]
        assert len(attempts) == 1
    assert first["stages"]["train_gan"]["uri"] != second["stages"]["train_gan"]["uri"]
    assert not list((folder / "aegan-root" / "runs" / record["run_id"] / "turns").glob("*"))


def test_the_comparison_lies_beside_the_run_as_a_page_and_as_json(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, record, _ = here
    place = folder / "aegan-root" / "runs" / record["run_id"]
    assert json.loads((place / "sweep.json").read_text()) == record["sweep"]
    page = (place / "sweep.html").read_text("utf-8")
    assert len(page.encode()) < 1_000_000
    assert "training rows are fewer than one batch" in page
    report = page.split('<a href="')[1].split('"')[0]
    assert (place / report).is_file()


def test_a_second_sweep_reuses_every_stage_and_shows_a_table(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, _, _ = here
    done = sweep(folder, "--grid", "gan.batch_size=64,32", "--metric", "coverage")
    assert done.returncode == 0, done.stderr
    assert "started" not in done.stderr.replace("publish           started", "")
    header = next(line for line in done.stdout.splitlines() if line.startswith("trial "))
    assert header.split() == ["trial", "coverage", "gate", "settings"]
    assert done.stdout.count("(best)") == 1
    assert "sweep.html" in done.stdout


def test_the_best_may_be_rejected_and_all_may_fail(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, _, _ = here
    bound = "evaluation.thresholds={coverage: {min: 1.0}, reconstruction_mse: {max: 1.0e-9}}"
    rejected = sweep(folder, "--grid", "gan.batch_size=64", "--set", bound)
    assert rejected.returncode == 3, rejected.stderr
    assert "nothing: the gate rejected this model" in rejected.stdout
    failed = sweep(folder, "--grid", f"gan.batch_size={TOO_LARGE},6000", "--json")
    assert failed.returncode == 1
    record = json.loads(failed.stdout)
    assert record["error"].startswith("all 2 trials failed:")
    assert "one batch of 6000" in record["error"]
    assert (Path(record["page"])).is_file()


def test_a_trial_whose_step_is_killed_has_failed_and_ends_no_other(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, _, _ = here
    # Long enough not to be over before it is killed.
    long = ("--set", "gan.steps=3000", "--grid", "gan.gamma=0.1,0.3,0.5")
    process, _ = sweep_until("train_gan#2 ", folder, *long)
    steps = steps_of_trial(2, str(folder))
    assert steps
    for pid in steps:
        os.kill(pid, signal.SIGKILL)
    output, narrated = process.communicate(timeout=300)
    assert process.returncode == 0, narrated
    record = json.loads(output)
    trials = record["sweep"]["trials"]
    assert [trial["score"] is not None for trial in trials] == [True, False, True]
    # The step may have been a stage further when it was killed.
    killed = re.fullmatch(
        r"(train_gan|evaluate): killed at each of 1 attempt.*", trials[1]["error"]
    )
    assert killed, trials[1]
    assert f"(compute.stages.{killed[1]}.memory)" in trials[1]["error"]
    assert f"{killed[1]}#2" in narrated
    assert record["status"] == "published"


def test_ctrl_c_ends_all_trials_and_leaves_a_record(
    here: tuple[Path, dict[str, Any], str],
) -> None:
    folder, _, _ = here
    more = ("--set", "autoencoder.steps=200000", "--root", "interrupted")
    process, _ = sweep_until("train_autoencoder#", folder, "--grid", "gan.gamma=0.1,0.3", *more)
    process.send_signal(signal.SIGINT)
    _, narrated = process.communicate(timeout=60)
    assert process.returncode == 130, narrated
    assert "the same command continues from here" in narrated
    (path,) = (folder / "interrupted" / "runs").glob("*/run.json")
    record = json.loads(path.read_text())
    assert record["status"] == "cancelled"
    assert record["sweep"]["best"] is None
    assert not steps_of_trial(1, str(folder))


def sweep_until(start: str, folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A sweep at work, and the line that begins as told."""
    process = subprocess.Popen(
        [AEGAN, "sweep", "tiny.yaml", "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        preexec_fn=heed_signals,
    )
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith(start):
        assert line, process.communicate()
    return process, line


def steps_of_trial(number: int, *words: str) -> list[int]:
    """The processes that work on a trial and were given these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().decode(errors="replace")
            if f'"trial": "{number}"' in line and all(word in line for word in words):
                found.append(int(path.parent.name))
    return found


def test_a_sweep_on_a_cluster_follows_its_trials_and_publishes(
    tmp_path: Path, emulator: StrictEmulator
) -> None:
    root = emulator.new_prefix()
    with KfpServer() as server:
        server.runs.environment = {"STORAGE_EMULATOR_HOST": emulator.url}
        cluster = ("--host", server.url, "--root", root, "--follow")
        more = {"STORAGE_EMULATOR_HOST": emulator.url}
        grid = ("--grid", f"gan.batch_size=64,{TOO_LARGE}")
        done = sweep(tmp_path, *grid, *cluster, **more)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "uploaded pipeline aegan-tiny-sweep, version " in done.stderr
        for stage in ("normalize", "train_autoencoder", "train_gan", "evaluate"):
            assert f"{stage}#1 " in done.stderr
        assert "one batch of 5000" in done.stdout
        assert "models/tiny@champion →" in done.stdout
        (run_id,) = server.runs.items
        shown = run(tmp_path, server, emulator, "runs", "show", run_id)
        assert "failed" in shown
        assert "outcome   published" in shown
        assert "step      train_gan: SUCCEEDED" in shown  # of both trials, and no other node
        assert shown.count("step  ") == 7
        assert "train_gan#1" in run(tmp_path, server, emulator, "runs", "logs", run_id)
        failed = sweep(tmp_path, "--grid", f"gan.batch_size={TOO_LARGE}", *cluster, **more)
        assert failed.returncode == 1
        assert "all 1 trials failed" in failed.stderr


def test_a_trial_that_is_killed_at_every_attempt_ends_no_other_on_a_cluster(
    tmp_path: Path, emulator: StrictEmulator, bucket: str
) -> None:
    root = bucket
    more = {"STORAGE_EMULATOR_HOST": emulator.url}
    kills = 0
    with KfpServer() as server, ThreadPoolExecutor() as pool:
        server.runs.environment = more
        cluster = ("--host", server.url, "--root", root, "--follow", "--set", "compute.retries=1")
        done = pool.submit(sweep, tmp_path, "--grid", "gan.gamma=0.1,1", *cluster, **more)
        while not done.done():
            (trial, *_) = [read_trial(open_store(root), name, 1) for name in server.runs.items] or [
                None
            ]
            begun = (trial or {"attempts": {}})["attempts"].get("train_autoencoder", 0)
            if begun > kills and kills < 2:
                kills += 1
                for pid in steps_of_trial(1, root, '"stage": "train_autoencoder"'):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        (run_id,) = server.runs.items
    assert done.result().returncode == 0, done.result().stderr
    assert kills == 2
    record = json.loads(open_store(root).read(f"runs/{run_id}/run.json") or b"{}")
    first, second = record["sweep"]["trials"]
    assert first["error"].startswith("train_autoencoder: killed at each of 2 attempt")
    assert second["score"] is not None
    assert record["status"] == "published"


def run(folder: Path, server: KfpServer, emulator: StrictEmulator, *arguments: str) -> str:
    environment = os.environ | {"STORAGE_EMULATOR_HOST": emulator.url, "HOME": str(folder)}
    command = [AEGAN, *arguments, "--host", server.url]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout
