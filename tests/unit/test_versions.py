"""Tests against time: what was published once loads, verifies and answers the same for ever.

The folders of tests/data/versions stand for what people have in their buckets: one for each number of
the format that was ever released. NEVER regenerate or edit one of a released format to make a test pass:
mend the code. `python -m tests.make_version` writes that of the present format only, before its release.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import aegan
from aegan import manifest as manifests
from aegan.data.schema import SCHEMA_VERSION
from aegan.errors import RegistryError
from tests.make_version import VERSIONS, answers

FORMATS = sorted(int(path.name) for path in VERSIONS.iterdir())


def test_every_format_up_to_the_present_one_is_kept() -> None:
    assert list(range(1, SCHEMA_VERSION + 1)) == FORMATS


@pytest.mark.parametrize("backend", ["onnx", "tensorflow"])
@pytest.mark.parametrize("number", FORMATS)
def test_it_answers_as_on_the_day_it_was_published(number: int, backend: str) -> None:
    model = aegan.load(f"{VERSIONS}/{number}/models/tiny@champion", backend=backend)
    with np.load(VERSIONS / str(number) / "answers.npz") as kept:
        found = answers(model, kept["examples"])
        for name, array in found.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(array, kept[name], rtol=1e-5, atol=1e-5, err_msg=name)
            else:  # whole units: what lies half-way between two may be rounded to either
                apart = np.abs(array.astype(int) - kept[name].astype(int))
                assert apart.max() <= 1, name
                assert (apart > 0).mean() < 0.01, name


@pytest.mark.parametrize("number", FORMATS)
def test_its_files_are_those_of_its_manifest(number: int) -> None:
    (folder,) = (VERSIONS / str(number) / "models" / "tiny" / "versions").iterdir()
    kept = manifests.parse((folder / manifests.NAME).read_bytes())
    assert not manifests.differences(kept, manifests.of_folder("tiny", folder))
    description = json.loads((folder / "preprocess" / "dataset.json").read_bytes())
    assert description["schema_version"] == number


def test_a_version_of_a_newer_format_says_that_aegan_is_too_old(tmp_path: Path) -> None:
    (folder,) = (VERSIONS / str(SCHEMA_VERSION) / "models" / "tiny" / "versions").iterdir()
    copy = shutil.copytree(folder, tmp_path / "source")
    (copy / manifests.NAME).unlink()
    path = copy / "preprocess" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema_version": 99}))
    version = aegan.Registry(str(tmp_path)).publish("tiny", copy)
    with pytest.raises(RegistryError, match=r"format 99.*up to 1; install a newer aegan"):
        aegan.load(f"{tmp_path}/models/tiny@{version}")
