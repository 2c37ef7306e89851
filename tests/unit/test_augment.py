"""What the discriminator sees of images is changed at random, and gradients go through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import training
from aegan.augment import CUT, NUM_DRAWS, augment
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.draws import draws_of
from aegan.errors import ConfigError
from aegan.gan import GanLearner, plan
from aegan.store import open_store
from tests.conftest import tiny

KINDS = ("color", "translation", "cutout")
SHAPES = [(8, 8, 1), (28, 28, 1), (13, 10, 3)]
MIDDLE = np.full((1, NUM_DRAWS), 0.5, np.float32)


def images_of(shape: tuple[int, ...], count: int = 20) -> Any:
    return tf.constant(np.random.default_rng(0).random((count, *shape), np.float32))


def draws(count: int, seed: int = 0) -> Any:
    return tf.random.stateless_uniform([count, NUM_DRAWS], [seed, seed])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS], ids=str)
def test_images_keep_their_shape_and_change_with_the_draws_alone(shape: Any, kinds: Any) -> None:
    images = images_of(shape)
    first, again, other = (augment(images, kinds, draws(20, s)).numpy() for s in (1, 1, 2))
    assert first.shape == images.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(np.any(a != b) for a, b in zip(first, images.numpy(), strict=True)) or (
        kinds == ["translation"]  # which may be by nothing
    )


def test_without_kinds_images_stay_as_they_are() -> None:
    images = images_of((8, 8, 1))
    assert augment(images, [], draws(20)) is images


@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS], ids=str)
def test_xla_compiles_it_and_gives_the_same_numbers_and_gradients(kinds: Any) -> None:
    images, drawn = images_of((13, 10, 3)), draws(20)  # XLA draws other numbers

    def both(x: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            changed = augment(x, kinds, drawn)
            total = tf.reduce_sum(tf.square(changed))
        return changed, tape.gradient(total, x)

    compiled = tf.function(both, jit_compile=True, autograph=False)
    for found, expected in zip(compiled(images), both(images), strict=True):
        assert np.allclose(found, expected, atol=1e-5)
        assert np.abs(found).max() > 0


def test_the_gradient_of_what_is_cut_or_shifted_out_is_zero_and_else_one() -> None:
    images = images_of((8, 8, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(augment(images, ["translation", "cutout"], draws(20)))
    gradient = tape.gradient(total, images).numpy()
    assert set(np.unique(gradient)) == {0, 1}


def test_translation_shifts_by_up_to_an_eighth_and_fills_with_zeros() -> None:
    images = images_of((16, 24, 2), 500)
    changed = augment(images, ["translation"], draws(500)).numpy()
    padded = np.pad(images, ((0, 0), (2, 2), (3, 3), (0, 0)))
    found = set()
    for number, image in enumerate(changed):
        shifts = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.array_equal(image, padded[number, 2 - down :, 3 - right :][:16, :24])
        ]
        assert len(shifts) == 1
        found.add(shifts[0])
    assert found == {(down, right) for down in range(-2, 3) for right in range(-3, 4)}


def test_cutout_zeroes_a_rectangle_of_half_the_size_that_may_stick_out() -> None:
    images = 1 + images_of((12, 7, 3), 500)
    kept = augment(images, ["cutout"], draws(500)).numpy()
    assert np.array_equal(kept[kept != 0], images.numpy()[kept != 0])
    zero = (kept == 0).all(axis=3)
    rows, columns = zero.any(axis=2).sum(axis=1), zero.any(axis=1).sum(axis=1)
    assert np.array_equal(zero.sum(axis=(1, 2)), rows * columns)  # rectangles
    assert (rows.max(), columns.max()) == (round(12 * CUT), round(7 * CUT))
    assert rows.min() < round(12 * CUT)


def test_color_changes_brightness_saturation_and_contrast_within_bounds() -> None:
    images = images_of((9, 9, 3), 500)
    means, changed = images.numpy().mean(axis=(1, 2, 3)), augment(images, ["color"], draws(500))
    shift = changed.numpy().mean(axis=(1, 2, 3)) - means  # the others leave the mean
    assert np.abs(shift).max() <= 0.25 + 1e-5
    assert (shift.min(), shift.max()) == pytest.approx((-0.25, 0.25), abs=0.01)
    grey = [x.numpy().mean(axis=3) for x in (images, changed)]
    contrast = grey[1].std(axis=(1, 2)) / grey[0].std(axis=(1, 2))
    assert (contrast.min(), contrast.max()) == pytest.approx((0.5, 1.5), abs=0.01)
    colour = [(x.numpy() - x.numpy().mean(axis=3, keepdims=True)).std() for x in (images, changed)]
    assert 0.8 < colour[1] / colour[0] < 1.5
    by_four = augment(images, ["color"], draws(500), 4.0).numpy().mean(axis=(1, 2, 3)) - means
    assert np.allclose(by_four, 4 * shift, atol=1e-4)


def test_draws_of_the_middle_and_images_of_one_channel_keep_their_colours() -> None:
    for shape in SHAPES:
        images = images_of(shape, 1)
        assert np.allclose(augment(images, ["color"], MIDDLE), images, atol=1e-6)
    images = images_of((8, 8, 1), 1)
    saturated = MIDDLE.copy()
    saturated[0, 1] = 0.0  # no colour at all
    assert np.allclose(augment(images, ["color"], saturated), images, atol=1e-6)


def gan_config(**settings: Any) -> Any:
    section = {"space": "data", "hidden": [16, 8], "steps": 6, "batch_size": 64, "gamma": 0.1}
    data = {"source": "x", "kind": "image"}
    return validate(tiny(gan=section | {"augment": list(KINDS)} | settings, data=data), "test")


@pytest.mark.parametrize(
    "settings",
    [
        {"network": "conv"},
        {"network": "dense", "interpolation_penalty": 1.0},
        {"network": "dense", "batch": "full", "micro_batch_size": 100, "gamma": 0.0},
    ],
    ids=str,
)
def test_gans_train_on_augmented_images(settings: dict[str, Any], tmp_path: Any) -> None:
    config = gan_config(**settings)
    learner = GanLearner(config, (8, 8, 1), None)
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    examples = images_of((8, 8, 1), 250).numpy()
    history = training.train(learner, examples, plan(config), checkpoints)
    assert all(np.isfinite(list(record.values())).all() for record in history)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_both_networks_learn_from_what_is_changed_in_mini_and_full_batches(network: str) -> None:
    batch, step = images_of((8, 8, 1), 64), tf.constant(3)

    def found(kinds: tuple[str, ...]) -> list[Any]:
        """The gradients of both phases of a full batch, and all weights after a mini-batch."""
        learner = GanLearner(gan_config(network=network, augment=list(kinds)), (8, 8, 1), None)
        parts = [learner.gradients(phase, batch, step, tf.constant(1))[0] for phase in (0, 1)]
        learner.update(batch, step)
        weights = [variable.numpy() for variable in learner.state()]
        return [np.concatenate([np.ravel(x) for x in group]) for group in (*parts, weights)]

    unchanged = found(())
    for kinds in (KINDS, ("cutout",)):
        first, again = found(kinds), found(kinds)
        for one, same, other in zip(first, again, unchanged, strict=True):
            assert np.array_equal(one, same)
            assert not np.array_equal(one, other)


def test_each_micro_batch_and_each_phase_is_changed_in_its_own_way() -> None:
    steps = {"discriminator_steps": 2, "generator_steps": 3}
    phases = GanLearner(gan_config(**steps), (8, 8, 1), None).phases
    found = [
        draws_of(7, tf.constant(3), discriminator=2, generator=3, part=tf.constant(part))
        for part in (0, 1)
    ]
    seeds = np.concatenate([draws.augmentation.numpy() for draws in found]).reshape(-1, 2)
    assert len(seeds) == len(np.unique(seeds, axis=0)) == 2 * phases * 2
    # All phases of both micro-batches have noise of their own, but the generator's first.
    noise = np.concatenate([draws.noise.numpy() for draws in found])
    assert len(noise) == 2 * phases
    assert len(np.unique(noise, axis=0)) == 2 * (phases - 1)


def test_only_images_in_their_own_space_can_be_augmented() -> None:
    with pytest.raises(ConfigError, match=r"gan\.augment: .*`space: data` and `data\.kind: image`"):
        validate(tiny(gan={"augment": ["color"]}), "test")
    data = {"source": "x", "kind": "tabular"}
    with pytest.raises(ConfigError, match=r"gan\.augment: .*received 'data' and 'tabular'"):
        validate(tiny(gan={"augment": ["cutout"], "space": "data"}, data=data), "test")
