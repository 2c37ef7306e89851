"""A version that was copied out of a registry is loaded from where it lies, and by its root digest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import aegan
from aegan.errors import IntegrityError, RegistryError
from aegan.manifest import NAME
from aegan.registry import Registry
from aegan.signatures import Trust
from aegan.store import open_store
from tests.make_version import VERSIONS
from tests.versions import key_pair

KEPT = str(VERSIONS / "1")
[VERSION] = Registry(KEPT).versions("tiny")
DIGEST = Registry(KEPT).manifest("tiny", VERSION).digest
AEGAN = str(Path(sys.executable).with_name("aegan"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Registry(KEPT).pull("tiny", VERSION, tmp_path / "pulled")


def _copied(root: str) -> None:
    place = f"models/tiny/versions/{VERSION}"
    open_store(root).upload(Path(KEPT, place), place)


def test_a_version_is_loaded_by_its_digest(root: str) -> None:
    _copied(root)
    model = aegan.load(f"{root}/models/tiny@{DIGEST}", backend="onnx")
    assert (model.version, model.digest) == (VERSION, DIGEST)
    with pytest.raises(
        RegistryError, match=f"no version of tiny in .* has the root digest {'0' * 64}"
    ):
        aegan.load(f"{root}/models/tiny@{'0' * 64}")


def test_a_pulled_folder_gives_what_the_version_gives(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = aegan.load(f"{KEPT}/models/tiny@{VERSION}", backend="onnx").sample(5, seed=1)
    monkeypatch.chdir(folder.parent)
    for uri in (str(folder), "pulled", "./pulled/"):
        model = aegan.load(uri, backend="onnx")
        assert (model.name, model.version, model.digest) == ("tiny", DIGEST, DIGEST)
        assert np.array_equal(model.sample(5, seed=1), expected)


def test_the_command_line_takes_both(folder: Path) -> None:
    samples = []
    for number, model in enumerate(("pulled", f"{KEPT}/models/tiny@{DIGEST}")):
        output = folder.parent / f"{number}.npz"
        command = [AEGAN, "sample", model, "-n", "3", "--seed", "7", "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
        assert done.returncode == 0, done.stderr
        with np.load(output) as found:
            samples.append(found["samples"])
            assert str(found["model_digest"]) == DIGEST
    assert np.array_equal(*samples)
    command = [AEGAN, "models", "verify", f"{KEPT}/models/tiny@{DIGEST}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert f"tiny {VERSION}: " in done.stdout


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("change", r"pulled is not what was published:\n  changed: onnx/score/1/model\.onnx"),
        ("add", r"pulled is not what was published:\n  extra: evil\.py"),
        ("remove", r"pulled is not what was published:\n  missing: README\.md"),
        ("link", r"pulled: evil is a symbolic link"),
        ("manifest", r"pulled: MANIFEST\.json is not a valid manifest"),
    ],
)
def test_a_pulled_folder_that_was_tampered_with_is_refused(
    folder: Path, harm: str, message: str
) -> None:
    if harm == "change":
        (folder / "onnx" / "score" / "1" / "model.onnx").write_bytes(b"evil")
    elif harm == "add":
        (folder / "evil.py").write_bytes(b"evil")
    elif harm == "remove":
        (folder / "README.md").unlink()
    elif harm == "link":
        (folder / "evil").symlink_to("/etc/hostname")
    else:
        (folder / NAME).write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=message):
        aegan.load(str(folder), backend="onnx")


def test_a_pulled_folder_is_trusted_if_it_is_signed(root: str, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    _copied(root)
    ours, theirs = (key_pair(tmp_path / name) for name in ("ours", "theirs"))
    registry = Registry(root)
    unsigned = registry.pull("tiny", VERSION, tmp_path / "unsigned")
    registry.sign("tiny", VERSION, ours[0])
    signed = registry.pull("tiny", VERSION, tmp_path / "signed")
    assert aegan.load(str(signed), backend="onnx", trust=Trust([ours[1]])).digest == DIGEST
    with pytest.raises(IntegrityError, match="signed is not signed by a trusted key"):
        aegan.load(str(signed), backend="onnx", trust=Trust([theirs[1]]))
    with pytest.raises(IntegrityError, match="unsigned is not signed: expected model.sig"):
        aegan.load(str(unsigned), backend="onnx", trust=Trust([ours[1]]))


def test_a_version_in_a_registry_is_not_taken_for_a_pulled_one() -> None:
    uri = os.path.join(KEPT, "models", "tiny", "versions", VERSION)
    assert aegan.load(uri, backend="onnx").version == VERSION


def test_the_manifest_of_something_else_is_refused(folder: Path) -> None:
    tree = json.loads((folder / NAME).read_bytes())
    tree["subject"][0]["name"] = "../evil"
    (folder / NAME).write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n")
    with pytest.raises(RegistryError, match=r"'\.\./evil' is not a name"):
        aegan.load(str(folder), backend="onnx")
