"""The command line as a stranger meets it: results, messages, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aegan_pipelines.summary import missed_lines
from PIL import Image

import aegan
from aegan.checkpoints import MARKER
from aegan.config import Bound
from aegan.evaluation.gate import judge
from aegan.loading import load
from tests.conftest import heed_signals, tiny

AEGAN = str(Path(sys.executable).with_name("aegan"))


def cli(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AEGAN, *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def reference(published: dict[str, Any]) -> str:
    return f"{published['root']}/models/tiny@champion"


def test_run_ends_with_scores_report_alias_and_the_command_that_samples(
    published: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny()))
    done = cli("run", str(config), "--root", published["root"])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "KFP" not in done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines() if "reused" in line] == [
        "normalize",
        "train_autoencoder",
        "train_gan",
        "evaluate",
        "publish",
    ]
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert Path(lines["report"].split()[1]).is_file()
    assert "single Gaussian on codes" in done.stdout
    assert "models/tiny@champion →" in lines["published"]
    command = lines["sample"].split()[1:]
    grid = cli(*command[1:], cwd=tmp_path)
    assert grid.returncode == 0, grid.stderr
    assert grid.stderr.strip() == "wrote 64 samples to grid.png"
    assert Image.open(tmp_path / "grid.png").size[0] > 500


def test_a_rejected_model_exits_with_3_and_names_the_threshold(
    published: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny()))
    override = "evaluation.thresholds={reconstruction_mse: {max: 1.0e-9}}"
    done = cli("run", str(config), "--root", published["root"], "--set", override)
    assert done.returncode == 3
    assert "threshold missed: reconstruction_mse is 0.0" in done.stdout
    assert "expected at most 1e-09" in done.stdout
    assert "published  nothing" in done.stdout


def test_json_is_the_record(published: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny()))
    done = cli("run", str(config), "--root", published["root"], "--json")
    assert json.loads(done.stdout)["model"] == published["model"]


def test_a_failing_run_exits_with_1_and_one_clear_error(tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.full((300, 8, 8), np.nan, np.float32))
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny(data={"source": str(tmp_path / "bad.npy")})))
    done = cli("run", str(config), "--root", str(tmp_path / "root"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("300 of 300 rows hold NaN") == 1
    log = done.stderr.split("whole log is ")[1].strip()
    assert "Traceback" in Path(log).read_text()
    record = json.loads(next((tmp_path / "root" / "runs").glob("*/run.json")).read_text())
    assert record["status"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "no-such-preset"], "no preset named 'no-such-preset': expected one of"),
        (["run", "digits", "--set", "gan.stepz=5"], "gan.stepz: no such setting; expected one of"),
        (["run", "digits", "--set", "gan.steps=many"], "received 'many' (str)"),
        (["run", "digits", "--root", "/proc/nowhere"], "cannot write /proc/nowhere"),
        (["run", "digits", "--root", "s3://b"], "expected a folder or gs://"),
        (["models", "show", "nonsense"], "names no model: expected <root>/models/<name>@"),
        (["models", "verify", "nowhere/models/x"], "expected a published model, found none"),
        (["sample", "nowhere/models/x@stable", "-o", "x.png"], "no alias 'stable' of the model"),
    ],
)
def test_mistakes_get_one_message_and_exit_1(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["sample", "x", "-o", "x.gif"], ["compile", "digits", "-o", "x.json"], ["run"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str], tmp_path: Path) -> None:
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage:" in done.stderr


def test_samples_are_reproducible_and_marked_as_synthetic(reference: str, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz", "grid.png"):
        done = cli("sample", reference, "-n", "20", "--seed", "7", "-o", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    model = load(reference)
    with np.load(tmp_path / "a.npz") as first, np.load(tmp_path / "b.npz") as second:
        assert np.array_equal(first["samples"], second["samples"])
        assert np.array_equal(first["samples"], model.sample(20, seed=7))
        assert str(first["model_digest"]) == model.digest
    picture = Image.open(tmp_path / "grid.png")
    assert picture.text["model_digest"] == model.digest
    # The top left picture is the first sample, enlarged, 16 being white.
    scale = picture.width // (5 * 9 - 1)
    corner = np.asarray(picture)[: 8 * scale : scale, : 8 * scale : scale]
    samples = model.sample(20, seed=7)
    expected = np.rint(samples[0, ..., 0] / samples.max() * 255)
    assert np.array_equal(corner, expected)


def test_models_are_listed_shown_and_verified(reference: str, published: dict[str, Any]) -> None:
    version = published["model"].rsplit("/", 1)[-1]
    listed = cli("models", "list", "--root", published["root"])
    assert [version, "champion"] in [line.split()[1:] for line in listed.stdout.splitlines()]
    shown = json.loads(cli("models", "show", reference, "--json").stdout)
    assert shown["metrics"]["headline"]["reconstruction_mse"] > 0
    assert "MSE" in cli("models", "show", reference).stdout
    verified = cli("models", "verify", reference)
    assert verified.returncode == 0
    assert f"{len(shown['files'])} files as published, root digest {shown['digest']}" in (
        verified.stdout
    )


def test_a_changed_score_is_not_shown(published: dict[str, Any], tmp_path: Path) -> None:
    version = published["model"].rsplit("/", 1)[-1]
    copy = tmp_path / "models" / "tiny" / "versions" / version
    shutil.copytree(published["model"], copy)
    reference = f"{tmp_path}/models/tiny@{version}"
    assert cli("models", "show", reference).returncode == 0
    metrics = copy / "report" / "metrics.json"
    metrics.write_text(metrics.read_text().replace("0.", "0.0", 1))
    shown = cli("models", "show", reference)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "report/metrics.json is not what was published" in shown.stderr
    metrics.unlink()
    assert "report/metrics.json is missing" in cli("models", "show", reference).stderr


def test_a_root_that_pods_cannot_share_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "p.yaml"
    done = cli("compile", "digits", "-o", str(package), "--root", "runs")
    assert done.returncode == 2
    assert "pods do not share your folder; expected --root gs://bucket/path" in done.stderr
    assert not package.exists()
    done = cli("compile", "fashion-mnist", "-o", str(package), "--root", "gs://b/r")
    assert done.returncode == 0
    assert "pods look for data.source in their own file system: data/fashion-mnist" in done.stderr


def test_an_empty_registry_is_not_an_error(tmp_path: Path) -> None:
    done = cli("models", "list", "--root", str(tmp_path / "nothing"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "no models are published" in done.stderr
    assert not (tmp_path / "nothing").exists()


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def children(process: int) -> list[int]:
    listing = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in listing.split()]


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupting_leaves_no_process_behind(sent: int, code: int, tmp_path: Path) -> None:
    command = [AEGAN, "run", "digits", "--root", str(tmp_path / "root")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals)
    assert process.stderr is not None
    while "train_autoencoder started" not in process.stderr.readline():
        assert process.poll() is None
    groups = children(process.pid)
    assert groups
    assert all(alive(group) for group in groups)
    process.send_signal(sent)
    rest = process.stderr.read()
    assert process.wait(timeout=30) == code
    assert "Traceback" not in rest
    time.sleep(0.1)
    assert not any(alive(group) for group in groups)
    record = json.loads(next((tmp_path / "root" / "runs").glob("*/run.json")).read_text())
    assert (record["status"], record["error"]) == ("cancelled", "interrupted")
    assert list(record["stages"]) == ["normalize"]


def test_interrupting_a_training_on_a_terminal_leaves_a_checkpoint(tmp_path: Path) -> None:
    """Its progress comes often there, and finds nobody who reads it once all are told to end."""
    ours, theirs = pty.openpty()
    command = [AEGAN, "run", "digits", "--root", str(tmp_path), "--set", "autoencoder.steps=500000"]
    process = subprocess.Popen(command, stderr=theirs, preexec_fn=heed_signals)
    os.close(theirs)
    told = b""
    while b"samples/s" not in told:
        assert process.poll() is None
        told += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # at the end of a terminal
        while rest := os.read(ours, 4096):
            told += rest
    os.close(ours)
    assert process.wait(timeout=30) == 130
    assert b"interrupted; the same command continues from here" in told
    assert list(tmp_path.glob(f"checkpoints/*/train_autoencoder/*/{MARKER}"))
    (said,) = tmp_path.glob("stages/train_autoencoder/*/progress.json")
    assert "told to stop at step" in said.read_text()


def test_a_threshold_that_is_missed_says_which_bound() -> None:
    scores = {"reconstruction_mse": 0.5}
    verdict = {"selected": "gan", **judge(scores, {"reconstruction_mse": Bound(min=0.1, max=0.2)})}
    assert missed_lines(verdict) == [
        "threshold missed: reconstruction_mse is 0.5, expected at least 0.1 and at most 0.2"
    ]


def test_a_damaged_alias_does_not_hide_the_other_models(
    published: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("tiny", "other"):
        shutil.copytree(Path(published["root"], "models", "tiny"), tmp_path / "models" / name)
    (tmp_path / "models" / "other" / "aliases" / "champion.json").write_text('{"version": "x"}')
    listed = cli("models", "list", "--root", str(tmp_path))
    assert listed.returncode == 1
    assert "other/aliases/champion.json is not a valid alias" in listed.stderr
    assert "'x' is no version" in listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert {line[0]: line[2:] for line in lines}.items() >= {"other": []}.items()
    assert ["champion"] in [line[2:] for line in lines if line[0] == "tiny"]


def test_help_and_import_are_light() -> None:
    program = (
        "import sys, aegan, aegan_pipelines.cli\n"
        "heavy = {'tensorflow', 'kfp', 'keras', 'numpy', 'google.cloud.storage', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    assert aegan.__version__ in cli("--version").stdout


def test_the_library_never_imports_kfp() -> None:
    source = Path(aegan.__file__).parent
    for path in source.rglob("*.py"):
        text = path.read_text("utf-8")
        assert "import kfp" not in text, path
        assert "from kfp" not in text, path
        assert "aegan_pipelines" not in text, path
        assert "aegan_components" not in text, path


def test_importing_any_library_module_needs_no_environment_and_no_cloud() -> None:
    source = Path(aegan.__file__).parent
    modules = sorted(
        "aegan." + ".".join(path.relative_to(source).with_suffix("").parts)
        for path in source.rglob("*.py")
        if path.name != "__init__.py"
    )
    program = (
        "import importlib, os, sys\n"
        "class Spy(dict):\n"
        "    def __getitem__(self, key):\n"
        "        assert not key.startswith(('AEGAN', 'STORAGE')), key\n"
        "        return super().__getitem__(key)\n"
        "    def get(self, key, default=None):\n"
        "        assert not key.startswith(('AEGAN', 'STORAGE')), key\n"
        "        return super().get(key, default)\n"
        "os.environ = Spy(os.environ)\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "assert 'kfp' not in sys.modules and 'google.cloud.storage' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
