"""`aegan models` as a stranger meets it: what each command prints, and what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aegan.manifest import SIGNATURE
from aegan.registry import Registry
from tests.make_version import VERSIONS
from tests.versions import key_pair

AEGAN = str(Path(sys.executable).with_name("aegan"))

Keys = tuple[Path, Path]


def models(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [AEGAN, "models", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return key_pair(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return key_pair(tmp_path_factory.mktemp("keys") / "theirs")


@pytest.fixture
def kept(tmp_path: Path) -> tuple[str, str]:
    """Root and version of a real model, which is its champion."""
    shutil.copytree(VERSIONS / "1" / "models", tmp_path / "root" / "models")
    root = str(tmp_path / "root")
    return root, Registry(root).versions("tiny")[0]


def test_a_broken_alias_hides_nothing_but_itself(kept: tuple[str, str]) -> None:
    root, version = kept
    broken = Path(root, "models", "tiny", "aliases", "broken.json")
    broken.write_bytes(b"[" * 100_000)
    listed = models("list", "--root", root)
    assert listed.returncode == 1
    assert listed.stdout.split() == ["tiny", version, "champion"]
    assert f"error: {broken} is not a valid alias (RecursionError" in listed.stderr


# --- Signatures


def test_what_has_a_signature_is_not_called_signed_before_a_key_checked_it(
    kept: tuple[str, str], ours: Keys
) -> None:
    root, version = kept
    model = f"{root}/models/tiny@{version}"
    assert models("verify", model).stdout.endswith(", not signed\n")
    assert "\nsigned   no\n" in models("show", model).stdout
    assert json.loads(models("show", model, "--json").stdout)["signature"] is None
    Path(Registry(root).uri("tiny", version), SIGNATURE).write_bytes(b"junk")
    verified = models("verify", model)
    assert verified.returncode == 0
    assert ", has a signature, unchecked: --public-key PEM checks whose\n" in verified.stdout
    shown = models("show", model).stdout
    assert "\nsigned   has a signature, unchecked: aegan models verify --public-key" in shown
    facts = json.loads(models("show", model, "--json").stdout)
    assert facts["signature"] == "unchecked"
    assert "signed" not in facts
    refused = models("verify", model, "--public-key", ours[1])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is not signed by a trusted key" in refused.stderr


def test_what_was_signed_is_verified_and_pulled_by_the_key_that_is_named(
    kept: tuple[str, str], ours: Keys, theirs: Keys, tmp_path: Path
) -> None:
    root, version = kept
    model = f"{root}/models/tiny@{version}"
    assert models("pull", model, "-o", tmp_path / "pulled").stdout.endswith("/pulled\n")
    assert not (tmp_path / "pulled" / SIGNATURE).exists()
    signed = models("sign", model, "--key", ours[0])
    place = Path(Registry(root).uri("tiny", version), SIGNATURE)
    assert signed.stdout == f"tiny {version} is signed: {place}\n"
    assert place.is_file()
    keys = ("--public-key", theirs[1], "--public-key", ours[1])
    verified = models("verify", model, *keys)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.endswith(f", signed by {ours[1]}\n")
    pulled = models("pull", model, "-o", tmp_path / "pulled", *keys)
    assert pulled.stdout == f"tiny {version} is in {tmp_path}/pulled, signed by {ours[1]}\n"
    assert (tmp_path / "pulled" / SIGNATURE).read_bytes() == place.read_bytes()
    for command in (("verify", model), ("pull", model, "-o", tmp_path / "other")):
        refused = models(*command, "--public-key", theirs[1])
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"tiny {version} is not signed by a trusted key:\n  {theirs[1]}: " in refused.stderr
    assert not (tmp_path / "other").exists()
    again = models("sign", model, "--key", theirs[0])
    assert again.returncode == 1
    assert "is signed already" in again.stderr


def test_the_password_of_a_key_is_taken_from_the_environment(
    kept: tuple[str, str], tmp_path: Path
) -> None:
    root, version = kept
    model = f"{root}/models/tiny@{version}"
    private, public = key_pair(tmp_path / "locked", password=b"secret")
    for variables in ({}, {"AEGAN_KEY_PASSWORD": "wrong"}):
        refused = models("sign", model, "--key", private, **variables)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"cannot sign with {private}" in refused.stderr
        assert Registry(root).signature("tiny", version) is None
    signed = models("sign", model, "--key", private, AEGAN_KEY_PASSWORD="secret")
    assert signed.returncode == 0, signed.stderr
    assert "secret" not in signed.stdout + signed.stderr
    assert models("verify", model, "--public-key", public).returncode == 0
