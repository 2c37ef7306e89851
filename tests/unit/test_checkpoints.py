"""Checkpoints when something goes wrong: places that cannot be read, written or tidied up."""

from __future__ import annotations

import itertools
import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import gcs_blobs
from aegan.checkpoints import MARKER, Checkpoints
from aegan.errors import StoreError
from aegan.store import open_store
from tests.gcs import FAULTS, LISTING_FAULTS

PREFIX = "checkpoints/key/train_gan"


def checkpoints_of(root: Any) -> Checkpoints:
    return Checkpoints(open_store(str(root)), PREFIX, "train_gan")


def markers(root: Any) -> list[str]:
    return [name for name in open_store(str(root)).list(PREFIX) if name.endswith(MARKER)]


@pytest.fixture
def out_of_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a test break the bucket, which is given up soon."""
    monkeypatch.setattr(gcs_blobs, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(gcs_blobs, "FIRST_PAUSE_SECONDS", 0.01)
    yield
    FAULTS.clear()
    LISTING_FAULTS.clear()


@pytest.mark.usefixtures("out_of_order")
def test_a_checkpoint_that_cannot_be_read_for_a_while_is_not_thrown_away(bucket: str) -> None:
    checkpoints_of(bucket).save(7, [tf.Variable(1.0)], {})
    FAULTS[:] = [itertools.repeat("unavailable")]
    with pytest.raises(StoreError, match="cannot reach"):
        checkpoints_of(bucket).restore([tf.Variable(1.0)])
    FAULTS.clear()
    assert checkpoints_of(bucket).restore([tf.Variable(1.0)]) == (7, {})


@pytest.mark.parametrize(
    "marker",
    [
        b"[]",
        b"{}",
        b'{"files": []}',
        b'{"files": {}}',
        b'{"files": {"../x": "0", "state.index": 1, "progress.json": null}}',
        b'{"files": ',
    ],
)
def test_a_foreign_marker_is_passed_over(
    marker: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints_of(tmp_path).save(7, [tf.Variable(1.0)], {})
    (name,) = markers(tmp_path)
    open_store(str(tmp_path)).write(name, marker)
    assert checkpoints_of(tmp_path).restore([tf.Variable(1.0)]) == (0, {})
    assert "passed over the checkpoint of step 7: " in capfd.readouterr().err


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(
    root: str, capfd: pytest.CaptureFixture[str]
) -> None:
    variable = tf.Variable(1.0)
    for position in (5, 7, 9):  # each of another process: what supersedes another deletes it
        checkpoints_of(root).save(position, [variable], {})
    for name in markers(root):
        if "step-000000007" not in name:
            open_store(root).delete(name)
    assert checkpoints_of(root).restore([variable]) == (7, {})
    said = capfd.readouterr().err
    assert "passed over the checkpoint of step 9: it was not written to its end" in said
    assert "step 5" not in said  # the one that is gone on from is newer


@pytest.mark.parametrize("file", ["progress.json", "state.index"])
def test_a_checkpoint_that_lost_a_file_is_passed_over(file: str, tmp_path: Path) -> None:
    checkpoints_of(tmp_path).save(7, [tf.Variable(1.0)], {})
    next(tmp_path.rglob(file)).unlink()
    assert checkpoints_of(tmp_path).restore([tf.Variable(1.0)]) == (0, {})


def test_a_checkpoint_of_other_types_is_passed_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints_of(tmp_path).save(7, [tf.Variable(1.0)], {})
    variable = tf.Variable(5.0, dtype=tf.float64)
    assert checkpoints_of(tmp_path).restore([variable]) == (0, {})
    assert float(variable.numpy()) == 5.0
    assert "it is of another network or optimiser" in capfd.readouterr().err


def test_a_checkpoint_of_another_origin_is_passed_over(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for position, origin in ((7, "first"), (9, "second")):
        checkpoints = checkpoints_of(tmp_path)
        checkpoints.origin = origin
        checkpoints.save(position, [tf.Variable(1.0)], {})
    checkpoints = checkpoints_of(tmp_path)
    checkpoints.origin = "first"
    assert checkpoints.restore([tf.Variable(1.0)]) == (7, {})
    assert "passed over the checkpoint of step 9: what it was" in capfd.readouterr().err


def full_disk() -> Any:
    """Lets no file grow beyond 64 KiB; what undoes that."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def no_scratch() -> Any:
    before, tempfile.tempdir = tempfile.tempdir, "/nowhere"

    def undo() -> None:
        tempfile.tempdir = before

    return undo


@pytest.mark.parametrize("harm", [full_disk, no_scratch])
def test_too_little_room_for_temporary_files_does_not_end_the_training(
    harm: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).random(2**18, np.float32)
    checkpoints, variable = checkpoints_of(tmp_path), tf.Variable(noise)
    undo = harm()
    try:
        checkpoints.begin(5, [variable], {})
        checkpoints.finish()
        with pytest.raises(StoreError, match="cannot write temporary files: .* TMPDIR"):
            checkpoints.save(6, [variable], {})
    finally:
        undo()
    said = capfd.readouterr().err
    assert "the checkpoint of step 5 could not be written, training goes on: cannot write" in said
    checkpoints.save(7, [variable], {})
    assert checkpoints.restore([variable])[0] == 7


@pytest.mark.usefixtures("out_of_order")
def test_a_checkpoint_is_safe_even_if_older_ones_cannot_be_deleted(
    bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints, variable = checkpoints_of(bucket), tf.Variable(1.0)
    checkpoints.save(1, [variable], {})
    LISTING_FAULTS[:] = [itertools.repeat("unavailable")]  # whoever deletes, lists before
    checkpoints.save(2, [variable], {})
    checkpoints.begin(3, [variable], {})
    checkpoints.finish()
    LISTING_FAULTS.clear()
    said = capfd.readouterr().err
    assert said.count("an older checkpoint could not be deleted") == 2
    assert "could not be written" not in said
    assert len(markers(bucket)) == 3
    checkpoints.save(4, [variable], {})
    assert [json.loads(open_store(bucket).read(n) or b"")["step"] for n in markers(bucket)] == [4]


def test_messages_name_steps_and_not_units_of_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoints_of(tmp_path).save(1600, [tf.Variable(1.0)], {})
    checkpoints = checkpoints_of(tmp_path)
    checkpoints.units = 16
    assert checkpoints.restore([tf.Variable([1.0])]) == (0, {})
    assert "passed over the checkpoint of step 100: " in capfd.readouterr().err


def test_what_saves_is_out_of_the_scope_of_who_calls_it(tmp_path: Path) -> None:
    created = []

    def note(create: Any, **how: Any) -> Any:
        created.append(how)
        return create(**how)

    variable = tf.Variable(1.0)
    with tf.variable_creator_scope(note):  # a strategy's scope holds such a one
        checkpoints_of(tmp_path).save(7, [variable], {})
    assert not created
    assert checkpoints_of(tmp_path).restore([variable])[0] == 7


def test_a_checkpoint_at_the_same_step_leaves_the_one_before_whole_until_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training that backed off comes to the same step again, and may be killed as it writes."""
    checkpoints = checkpoints_of(tmp_path)
    checkpoints.save(7, [tf.Variable(1.0)], {})

    def cut_off(_: Any, folder: Path, prefix: str) -> None:
        place = tmp_path / prefix
        place.mkdir(parents=True, exist_ok=True)
        (place / "progress.json").write_bytes((folder / "progress.json").read_bytes())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(checkpoints.store), "upload", cut_off)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(7, [tf.Variable(2.0)], {"totals": [2.0]})
    found = tf.Variable(0.0)
    assert checkpoints_of(tmp_path).restore([found]) == (7, {})
    assert float(found) == 1.0

    checkpoints.save(7, [tf.Variable(3.0)], {})
    assert len(markers(tmp_path)) == 1
    checkpoints_of(tmp_path).restore([found])
    assert float(found) == 3.0
