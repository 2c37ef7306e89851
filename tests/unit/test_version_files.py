"""What runs is what was verified, also if the files are changed or deleted afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import aegan
from aegan.errors import IntegrityError, RegistryError, StoreError
from aegan.manifest import NAME, parse
from aegan.runtimes import open_runtime
from aegan.version_files import VersionFiles
from tests.make_version import VERSIONS
from tests.privileges import run_without_privileges

KEPT = VERSIONS / "1"
IMAGES = np.load(KEPT / "answers.npz")["examples"]
CALLS: dict[str, Callable[[aegan.Model], object]] = {
    "encode": lambda model: model.encode(IMAGES),
    "decode": lambda model: model.decode(np.zeros((1, 4), np.float32)),
    "reconstruct": lambda model: model.reconstruct(IMAGES),
    "score": lambda model: model.score(IMAGES),
    "sample": lambda model: model.sample(3, seed=1),
    "sample_class": lambda model: model.sample(3, seed=1, label=3),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a version in a registry of its own."""
    shutil.copytree(KEPT / "models", tmp_path / "models")
    return next((tmp_path / "models" / "tiny" / "versions").iterdir())


def _load(folder: Path, backend: str = "onnx") -> aegan.Model:
    return aegan.load(f"{folder.parents[3]}/models/tiny@{folder.name}", backend=backend)


@pytest.mark.parametrize("function", CALLS)
def test_a_model_that_was_changed_after_it_was_loaded_does_not_run(
    folder: Path, function: str
) -> None:
    model = _load(folder)
    path = folder / "onnx" / function / "1" / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-64] + bytes(64))
    with pytest.raises(IntegrityError, match=f"onnx/{function}/1/model.onnx was changed after it"):
        CALLS[function](model)
    path.write_bytes(content)
    CALLS[function](model)


def test_what_was_called_once_is_not_read_again(folder: Path) -> None:
    model = _load(folder)
    before = model.score(IMAGES)
    shutil.rmtree(folder)
    assert np.array_equal(model.score(IMAGES), before)


@pytest.mark.parametrize("function", CALLS)
def test_a_version_that_was_deleted_after_it_was_loaded_is_said_to_be(
    folder: Path, function: str
) -> None:
    model = _load(folder)
    threshold = model.threshold(0.1)
    shutil.rmtree(folder)
    with pytest.raises(RegistryError, match=r"model\.onnx has gone since the model was verified"):
        CALLS[function](model)
    assert model.threshold(0.1) == threshold


@pytest.mark.parametrize("path", ["preprocess/dataset.json", "preprocess/scores.json"])
def test_what_is_read_while_loading_is_checked_and_read_at_once(folder: Path, path: str) -> None:
    manifest = parse((folder / NAME).read_bytes())
    (folder / path).write_bytes((folder / path).read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=f"{path} was changed after it was verified"):
        aegan.Model(folder, "tiny", folder.name, manifest.digest, manifest=manifest)
    (folder / path).unlink()
    with pytest.raises(RegistryError, match=f"{path} has gone since the model was verified"):
        aegan.Model(folder, "tiny", folder.name, manifest.digest, manifest=manifest)


@pytest.mark.parametrize("harm", ["changed", "deleted"])
def test_tensorflow_loads_nothing_but_what_was_verified(folder: Path, harm: str) -> None:
    files = VersionFiles(folder, parse((folder / NAME).read_bytes()))
    path = folder / "serving" / "autoencoder" / "1" / "variables" / "variables.data-00000-of-00001"
    if harm == "deleted":
        path.unlink()
        with pytest.raises(RegistryError, match="variables.data.* has gone since"):
            open_runtime(files, "tensorflow")
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="variables.data.* was changed after it was veri"):
            open_runtime(files, "tensorflow")


def _read(folder: Path) -> None:
    files = VersionFiles(folder, parse((folder / NAME).read_bytes()))
    (folder / "README.md").chmod(0)
    with pytest.raises(StoreError, match=r"cannot read .*README\.md: Permission denied"):
        files.read("README.md")


def test_what_may_not_be_read_is_named(folder: Path) -> None:
    run_without_privileges(_read, folder)
