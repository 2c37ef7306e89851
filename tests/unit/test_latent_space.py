"""A GAN that was interrupted goes on in the whitening and from the mixture that it began with."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import latent
from aegan.checkpoints import MARKER, Checkpoints
from aegan.config_file import validate
from aegan.narration import heard_by
from aegan.stages import normalize, train_autoencoder, train_gan
from aegan.stages.latent_space import NAME, Space, kept_space
from aegan.store import open_store
from tests.conftest import tiny

PREFIX = "checkpoints/key/train_gan"
WEIGHTS = [np.ones((3, 2), np.float32)]


def space(seed: int) -> Space:
    draw = np.random.default_rng(seed)
    arrays = [draw.random((2, 2), np.float32) for _ in range(6)]
    return latent.Whitening(*arrays[:3]), latent.Mixture(*arrays[3:])


def checkpoints_of(root: str) -> Checkpoints:
    return Checkpoints(open_store(root), PREFIX, "train_gan")


def same(first: Space, second: Space) -> bool:
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(vars(a)[name], vars(b)[name]) for a, b in pairs for name in vars(a))


def test_a_later_attempt_finds_what_the_first_one_fitted(root: str) -> None:
    first = checkpoints_of(root)
    assert same(kept_space(first, WEIGHTS, lambda: space(1)), space(1))
    first.save(5, [tf.Variable(1.0)], {})
    second = checkpoints_of(root)
    assert same(kept_space(second, WEIGHTS, lambda: space(2)), space(1))
    assert second.restore([tf.Variable(1.0)])[0] == 5
    second.clear()
    assert open_store(root).list("checkpoints") == []


def test_of_two_attempts_at_once_both_take_the_space_of_the_faster(root: str) -> None:
    first, second = checkpoints_of(root), checkpoints_of(root)

    def fit() -> Space:
        kept_space(first, WEIGHTS, lambda: space(1))
        return space(2)

    assert same(kept_space(second, WEIGHTS, fit), space(1))
    assert first.origin == second.origin


@pytest.mark.parametrize("harm", ["torn", "foreign", "gone", "another autoencoder"])
def test_no_checkpoint_is_gone_on_from_in_another_space(
    harm: str, root: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store, weights, variable = open_store(root), WEIGHTS, tf.Variable(1.0)
    first = checkpoints_of(root)
    kept_space(first, weights, lambda: space(1))
    first.save(5, [variable], {})
    if harm == "gone":
        store.delete(f"{PREFIX}/{NAME}")
    elif harm == "another autoencoder":
        weights = [2 * WEIGHTS[0]]
    else:
        content = store.read(f"{PREFIX}/{NAME}") or b""
        store.write(f"{PREFIX}/{NAME}", content[:-40] if harm == "torn" else b"[]")
    second = checkpoints_of(root)
    assert same(kept_space(second, weights, lambda: space(2)), space(2))
    assert second.restore([variable]) == (0, {})
    said = capfd.readouterr().err
    assert ("passed over the whitening and mixture" in said) == (harm != "gone")
    assert "passed over the checkpoint of step 5: what it was trained on was computed anew" in said
    third = checkpoints_of(root)  # what replaced it is kept
    assert same(kept_space(third, weights, lambda: space(3)), space(2))


def test_the_very_same_bits_fitted_anew_go_on_from_the_checkpoint(root: str) -> None:
    first = checkpoints_of(root)
    kept_space(first, WEIGHTS, lambda: space(1))
    first.save(5, [tf.Variable(1.0)], {})
    open_store(root).write(f"{PREFIX}/{NAME}", b"torn")
    second = checkpoints_of(root)
    kept_space(second, WEIGHTS, lambda: space(1))
    assert second.restore([tf.Variable(1.0)])[0] == 5


def test_a_place_that_cannot_be_written_does_not_end_the_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    found = kept_space(checkpoints_of(str(blocked)), WEIGHTS, lambda: space(1))
    assert same(found, space(1))
    assert "could not be kept, training goes on: cannot write" in capfd.readouterr().err


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GAN's training that was told to stop: configuration, root, URIs of dataset and autoencoder."""
    monkeypatch.setenv("AEGAN_PROGRESS_SECONDS", "0")
    root = str(tmp_path)
    tree = tiny(autoencoder={"steps": 20, "validate_every": 20}, gan={"steps": 200})
    config = validate(tree, "test").to_json()
    dataset = normalize.run(config, root, "run").uri
    encoded = train_autoencoder.run(config, root, dataset).uri

    def stop(event: str, _: str) -> None:
        if event == "progress":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit), heard_by(stop):
        train_gan.run(config, root, dataset, encoded)
    return config, root, dataset, encoded


def test_the_stage_fits_no_second_time(
    stopped: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config, root, dataset, encoded = stopped
    (place,) = {path.parent.parent for path in Path(root, "checkpoints").rglob(MARKER)}
    assert (place / NAME).is_file()
    kept = dict(np.load(place / NAME))

    def other(codes: Any) -> Any:  # as on a machine that adds up in another order
        pytest.fail("the codes were whitened anew")

    monkeypatch.setattr(latent, "fit_whitening", other)
    result = train_gan.run(config, root, dataset, encoded)
    assert "resumed at step" in capfd.readouterr().err
    assert not place.exists()
    outputs = Path(result.uri) / result.attempt
    for record, name in (("Whitening", "whitening"), ("Mixture", "mixtures/mixture")):
        with np.load(outputs / f"{name}.npz") as arrays:
            assert all(np.array_equal(arrays[key], kept[f"{record}.{key}"]) for key in arrays)
