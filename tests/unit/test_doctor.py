"""The doctor's checks of this machine and of storage."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aegan_pipelines.doctor import check, machine, storage
from aegan_pipelines.doctor.check import Check, limited
from packaging.requirements import Requirement

from aegan.config import Data
from aegan.errors import StoreError
from aegan.local_store import LocalStore
from aegan.store import open_store
from tests.privileges import run_without_privileges

LENIENT = """
from gcp_storage_emulator.server import create_server
server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="lenient")
server.start()
print(server._api._httpd.socket.getsockname()[1], flush=True)
input()
"""


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket that ignores preconditions: the emulator as it comes, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", LENIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    monkeypatch.setenv(
        "STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{process.stdout.readline().strip()}"
    )
    yield "gs://lenient/root"
    process.kill()
    process.wait()


def statuses(checks: list[Check]) -> list[str]:
    return [item.status for item in checks]


def test_python_and_packages_are_those_that_are_asked_for() -> None:
    assert machine.python().status == "ok"
    assert statuses(machine.packages()) == ["ok", "ok", "ok"]


def test_an_old_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["click>=999", "no-such-package>=1", "numpy>=1", 'no-such-extra; extra == "train"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    base, train, pipelines = machine.packages()
    assert base.status == "fail"
    assert base.text.startswith("click 8")
    assert base.text.endswith("expected >=999")
    assert (train.status, pipelines.status) == ("skip", "skip")
    assert "pip install --upgrade 'aegan[train]'" in train.cure
    missing = machine._group("packages", [Requirement("no-such-package")], "cure")
    assert (missing.status, missing.text) == ("fail", "missing: no-such-package")


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.9.1")
    assert machine.python().text == "3.9.1, expected >=3.11"


def test_tensorflow_is_not_imported_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing to run"))
    found = machine.gpu()
    assert (found.status, found.text) == ("skip", "TensorFlow is not installed")


@pytest.mark.parametrize(
    ("gpus", "devices", "status", "text"),
    [
        (["NVIDIA L4"], ["nvidia0"], "ok", "TensorFlow 2.21.0 sees NVIDIA L4"),
        ([], [], "ok", "none here; TensorFlow 2.21.0 computes on the CPU"),
        ([], ["nvidia0", "nvidia1"], "fail", "no GPU, though there is nvidia0, nvidia1"),
    ],
)
def test_gpus_that_tensorflow_sees(
    gpus: list[str], devices: list[str], status: str, text: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    printed = json.dumps({"version": "2.21.0", "gpus": gpus})
    monkeypatch.setattr(machine, "LIST_GPUS", f"print('noise'); print({printed!r})")
    for name in devices:
        (tmp_path / name).touch()
    found = machine.gpu(str(tmp_path))
    assert found.status == status
    assert text in found.text


def test_a_broken_tensorflow_is_reported_by_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LIST_GPUS", "raise ImportError('libcudart.so: missing')")
    found = machine.gpu()
    assert found.status == "fail"
    assert "ImportError: libcudart.so: missing" in found.text


@pytest.mark.parametrize("program", ["pass", "print('no JSON')"])
def test_a_tensorflow_that_says_nothing_is_a_failure(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LIST_GPUS", program)
    found = machine.gpu()
    assert (found.status, "without telling" in found.text) == ("fail", True)


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 29, "fail"), (2 << 30, "warn"), (9 << 30, "ok")]
)
def test_free_disk(free: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    found = machine.disk(str(tmp_path / "not" / "yet"))
    assert found.status == status
    assert f"{free / 2**30:.1f} GiB free in {tmp_path}," in found.text


def test_a_good_root_passes_and_nothing_is_left_behind(root: str, tmp_path: Path) -> None:
    assert statuses(storage.root(root)) == ["ok", "ok", "ok"]
    assert open_store(root).list("") == []
    assert not (tmp_path / "root").exists()
    (tmp_path / "root").mkdir()
    assert statuses(storage.root(str(tmp_path / "root"))) == ["ok", "ok", "ok"]
    assert list((tmp_path / "root").iterdir()) == []


def test_a_bucket_that_ignores_preconditions_is_found_out(lenient: str) -> None:
    checks = storage.root(lenient)
    assert statuses(checks) == ["ok", "ok", "fail"]
    assert "accepted a create-only write over a file" in checks[2].text
    assert "honours ifGenerationMatch" in checks[2].cure
    assert open_store(lenient).list("") == []


def test_what_was_written_and_read_back_otherwise_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStore, "read", lambda *_: b"other")
    assert statuses(storage.root(str(tmp_path))) == ["ok", "fail", "skip"]
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_deleted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("no right to delete")

    monkeypatch.setattr(LocalStore, "delete", refuse)
    *checks, last = storage.root(str(tmp_path))
    assert statuses(checks) == ["ok", "ok", "ok"]
    [left] = [path.name for path in tmp_path.iterdir()]
    assert (last.status, last.cure) == ("warn", "delete it")
    assert f"{tmp_path}/{left} may be left" in last.text


def test_a_write_that_outlasts_the_limit_may_leave_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(LocalStore, "write", lambda *_, **__: over.wait(60))
    soon = functools.partial(limited, seconds=0.2)
    monkeypatch.setattr(storage, "limited", soon)
    checks = storage.root(str(tmp_path))
    over.set()
    assert statuses(checks) == ["ok", "fail", "skip", "warn"]
    assert "may be left" in checks[-1].text


def test_a_bucket_that_does_not_exist_fails_once(bucket: str) -> None:
    checks = storage.root("gs://no-such-bucket/root")
    assert statuses(checks) == ["fail", "skip", "skip"]
    assert "check that the bucket exists" in checks[0].text


@pytest.mark.parametrize("uri", ["s3://bucket/root", "", "/proc/nowhere"])
def test_an_impossible_root_fails(uri: str) -> None:
    checks = storage.root(uri)
    assert checks[0].status == "fail"
    assert checks[0].cure


def test_the_data_source_is_looked_for_where_it_is(bucket: str, tmp_path: Path) -> None:
    def look(uri: str, *, in_pods: bool = False) -> Check:
        return storage.source(Data(source=uri), in_pods=in_pods)

    assert look("digits").status == "ok"
    (tmp_path / "x.npz").write_bytes(b"1234")
    assert "1 files" in look(str(tmp_path / "x.npz")).text
    assert look(str(tmp_path / "y.npz")).text == f"there is no {tmp_path / 'y.npz'}"
    warned = look(str(tmp_path / "x.npz"), in_pods=True)
    assert (warned.status, "their own file system" in warned.text) == ("warn", True)
    open_store(bucket).write("data/x.npz", b"1234")
    assert "1 objects, the first can be read" in look(f"{bucket}/data", in_pods=True).text
    assert look(f"{bucket}/nothing").text == f"there is nothing at {bucket}/nothing"
    assert "names a whole bucket" in look("gs://bucket").text


def _look_unreadable(folder: Path) -> None:
    found = storage.source(Data(source=str(folder)), in_pods=False)
    assert found.status == "fail"
    assert "Permission denied" in found.text
    assert found.cure == "change the permissions, or data.source"


def test_a_folder_that_cannot_be_listed_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    run_without_privileges(_look_unreadable, folder)
    run_without_privileges(_look_unreadable, folder / "below")


def test_what_hangs_is_cut_off_and_what_raises_is_reported() -> None:
    started = time.monotonic()
    late = limited("slow", lambda: (time.sleep(9), Check("slow", "ok", ""))[1], seconds=0.1)
    assert time.monotonic() - started < 3
    assert (late.status, late.text) == ("fail", "no answer within 0.1 s")
    broken = limited("broken", lambda: 1 / 0, "mend it")  # type: ignore[arg-type, return-value]
    assert (broken.status, broken.cure) == ("fail", "mend it")
    assert "ZeroDivisionError" in broken.text


def test_a_line_stays_a_line() -> None:
    assert Check("x", "fail", "two\nlines", "cure").line().count("\n") == 0
    assert check.SECONDS == 5
