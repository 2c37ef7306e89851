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
from aegan.narration import moment
from aegan.registry import Registry
from aegan.store import open_store
from tests.make_version import VERSIONS
from tests.versions import REJECTED, age_holds, key_pair, publish

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


def test_what_was_pulled_is_shown_and_verified_where_it_lies(
    kept: tuple[str, str], tmp_path: Path
) -> None:
    root, version = kept
    pulled = tmp_path / "pulled"
    models("pull", f"{root}/models/tiny@{version}", "-o", pulled)
    there, here = (
        json.loads(models("show", model, "--json").stdout)
        for model in (f"{root}/models/tiny@{version}", pulled)
    )
    own = {"version": None, "uri": str(pulled), "aliases": {}}
    assert here == there | own
    assert models("show", pulled).stdout.startswith("tiny (pulled)\n")
    verified = models("verify", pulled)
    assert verified.stdout.startswith(f"tiny in {pulled}: {len(there['files'])} files as published")
    assert verified.stdout.endswith(f"root digest {there['digest']}, not signed\n")
    (pulled / "README.md").write_text("better")
    for command in ("verify", "show"):
        refused = models(command, pulled)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "changed: README.md" in refused.stderr


def test_a_bucket_is_no_place_to_pull_to(kept: tuple[str, str], tmp_path: Path) -> None:
    root, version = kept
    refused = models("pull", f"{root}/models/tiny@{version}", "-o", "gs://bucket/pulled")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "gs:/bucket/pulled: expected a local folder; copy it to the bucket" in refused.stderr
    assert not Path("gs:").exists()


# --- Aliases


def test_what_the_gate_rejected_is_promoted_by_force_and_that_is_told_for_ever(
    tmp_path: Path,
) -> None:
    root = str(tmp_path / "root")
    [rejected] = publish(root, tmp_path, "1", verdict=REJECTED)
    [passed] = publish(root, tmp_path, "2")
    base, registry = f"{root}/models/m", Registry(root)
    refused = models("promote", f"{base}@{rejected}", "--reason", "I like it")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"m {rejected} is not promoted: the gate did not pass it" in refused.stderr
    assert registry.aliases("m") == {}
    assert models("promote", f"{base}@{rejected}", "--force").returncode == 2

    forced = models("promote", f"{base}@{rejected}", "--force", "--reason", "I like it")
    assert forced.stdout == f"m@champion is {rejected} (forced)\n"
    first = registry.aliases("m")["champion"]
    assert (first.version, first.reason, first.forced) == (rejected, "I like it", True)

    again = models("promote", base, "--force", "--reason", "still")
    assert again.returncode == 0
    assert again.stdout == (
        f"m@champion is {rejected} already, since {moment(first.at)} by {first.by}: I like it (forced)\n"
        "nothing moved, and no reason was recorded\n"
    )
    assert registry.aliases("m") == {"champion": first}

    moved = models("promote", f"{base}@{passed}", "--reason", "better", "--json")
    tree = json.loads(moved.stdout)
    assert (tree["version"], tree["previous"]) == (passed, rejected)
    assert (tree["reason"], tree["forced"], tree["moved"]) == ("better", False, True)

    back = models("rollback", base, "--reason", "it draws ghosts")
    assert back.stdout == f"m@champion is {rejected}, before {passed} (forced)\n"
    found = registry.aliases("m")["champion"]
    assert (found.version, found.reason, found.forced) == (rejected, "it draws ghosts", True)
    assert [move.reason for move in found.history] == ["better", "I like it"]


def test_a_rollback_that_cannot_be_is_refused_with_the_reason(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    first, second = publish(root, tmp_path, "1", "2")
    base, registry = f"{root}/models/m", Registry(root)
    registry.promote("m", first, "stable", reason="one")
    for model, message in (
        (base, "no alias 'champion' of the model 'm'"),
        (f"{base}@stable", "m@stable has named no other version"),
        (f"{base}@{second}", "is not a name"),
    ):
        refused = models("rollback", model, "--reason", "x")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert message in refused.stderr
    registry.promote("m", second, "stable", reason="two")
    done = models("rollback", f"{base}@stable", "--reason", "two draws ghosts", "--json")
    assert json.loads(done.stdout)["version"] == first
    assert registry.aliases("m").keys() == {"stable"}


# --- Garbage


def test_a_collection_deletes_what_it_announced_and_nothing_else(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    versions = sorted(publish(root, tmp_path, "1", "2", "3", "4"))
    Registry(root).promote("m", versions[0], reason="x")
    command = ("gc", "--root", root, "--keep", "0", "--older-than", "0d")
    young = models(*command)
    assert (young.returncode, young.stdout) == (0, "")
    assert young.stderr == "0 versions deleted\n"
    age_holds(root)
    before = open_store(root).list("")
    dry = models(*command, "--keep", "1", "--dry-run")
    assert dry.stderr == "2 versions would be deleted\n"
    assert open_store(root).list("") == before
    other = models(*command, "--model", "other")
    assert (other.returncode, "no model 'other'" in other.stderr) == (1, True)
    done = models(*command, "--keep", "1")
    kept = {versions[0], max(versions)}
    doomed = sorted(set(versions) - kept)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["m", version, "old,", "6", "files"] for version in doomed
    ]
    assert (done.stdout, done.stderr) == (dry.stdout, "2 versions deleted\n")
    assert set(Registry(root).versions("m")) == kept
    assert {path.split("/")[3] for path in open_store(root).list("models/m/versions")} == kept
    rest = models(*command, "--json")
    assert [tree["version"] for tree in json.loads(rest.stdout)] == sorted(kept - {versions[0]})
    assert models("verify", f"{root}/models/m").returncode == 0


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
    there = models("verify", tmp_path / "pulled", *keys)
    assert there.stdout.startswith(f"tiny in {tmp_path}/pulled: ")
    assert there.stdout.endswith(f", signed by {ours[1]}\n")
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
