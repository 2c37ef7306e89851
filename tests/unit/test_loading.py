"""From what a user gives to a model, or to one clear error."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import aegan
from aegan.data.schema import SCHEMA_VERSION
from aegan.errors import RegistryError, StoreError
from aegan.manifest import NAME
from aegan.registry import Registry
from tests.make_version import VERSIONS
from tests.versions import publish

ROOT = VERSIONS / str(SCHEMA_VERSION)


def test_a_path_object_is_as_good_as_text(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = aegan.load(ROOT / "models" / "tiny@champion")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = ROOT / "models" / "tiny" / "versions" / model.version
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(NAME))
    registry = Registry(bucket)
    registry.set_alias("tiny", "champion", registry.publish("tiny", tmp_path / "copy"), "test")
    uri = Path(f"{bucket}/models/tiny@champion")
    assert not str(uri).startswith("gs://")  # a path makes one slash of two
    assert aegan.load(uri).digest == model.digest


@pytest.mark.parametrize("uri", [7, None, b"models/tiny", ["models/tiny"]], ids=repr)
def test_what_names_no_model_is_refused(uri: Any) -> None:
    with pytest.raises(RegistryError, match="the model is .*: expected text or a path, <root>/mod"):
        aegan.load(uri)


def test_a_user_without_a_home_is_told_where_copies_can_lie(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(number: int) -> Any:
        raise KeyError(number)

    [version] = publish(bucket, tmp_path, "1")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)  # as where the user stands in no list
    with pytest.raises(StoreError, match="this user has no home; set XDG_CACHE_HOME, or HOME, to"):
        aegan.load(f"{bucket}/models/m@{version}")
