"""Mini-batches: in pieces or whole, resident or fed in blocks, they are the same steps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import programs
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.config import Config
from aegan.config_file import validate
from aegan.programs import MiniBatches
from aegan.streaming import Ahead
from tests.conftest import tiny

X = np.random.default_rng(0).random((300, 6), np.float32)


def config(**section: Any) -> Config:
    section = {"hidden": [16], "batch_size": 64, "latent_size": 3, "steps": 100} | section
    return validate(tiny(autoencoder=section, data={"source": "x", "kind": "tabular"}), "test")


def trained(settings: Config, calls: list[int], *, streamed: bool = False, **changes: Any) -> Any:
    """Weights after calls of so many steps each, and the totals of the metrics."""
    learner = AutoencoderLearner(settings, (6,), X[:50])
    program = MiniBatches(learner, X, replace(plan(settings), **changes), streamed=streamed)
    first, totals = 0, [0.0] * len(program.names)
    for count in calls:
        bad, totals = program.run(first, count, totals)
        assert bad == -1
        first += count
    return [weight.numpy() for weight in learner.weights()], totals


@pytest.mark.parametrize("pieces", [2, 4])
def test_a_batch_in_pieces_is_the_batch(pieces: int) -> None:
    (several, in_several), (whole, in_one) = (
        trained(config(), [20], pieces=n) for n in (pieces, 1)
    )
    assert any(np.any(a != b) for a, b in zip(several, whole, strict=True))  # other roundings
    for a, b in zip(several, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    np.testing.assert_allclose(in_several, in_one, rtol=1e-5)


@pytest.mark.parametrize(("size", "pieces"), [(64, 2), (1022, 2), (1024, 4), (1026, 2)])
def test_large_batches_come_in_more_pieces(size: int, pieces: int) -> None:
    assert plan(config(batch_size=size)).pieces == pieces


def test_pieces_draw_noise_of_their_own() -> None:
    noisy = config(kind="denoising", noise_level=0.5, learning_rate=1e-3)
    once, again = (trained(noisy, calls) for calls in ([6], [2, 4]))
    for a, b in zip(once[0], again[0], strict=True):
        np.testing.assert_array_equal(a, b)
    halves = np.concatenate([X[:32], X[:32]])  # of which both pieces have the same examples
    learner = AutoencoderLearner(noisy, (6,), X[:50])
    first, second = (
        learner.gradients(0, halves[:32], tf.constant(0), tf.constant(part))[1]["loss"].numpy()
        for part in (0, 1)
    )
    assert first != second


@pytest.mark.parametrize(
    "section",
    [
        {"normalization": "batch"},
        {"kind": "variational", "free_bits": 0.1},
        {"hidden": [512]},
        {"batch_size": 63},
        {"compiler": "graph"},
    ],
    ids=str,
)
def test_what_mixes_samples_or_gains_nothing_stays_in_one_piece(section: dict[str, Any]) -> None:
    assert plan(config(**section)).pieces == 1


def test_blocks_that_are_fed_are_made_once_whatever_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "MOST_STREAMED_BYTES", 10 * 64 * 6 * 4)  # ten steps in a block
    made: list[int] = []

    class Counted(Ahead):
        def __init__(self, make: Any):
            def counted(first: int, count: int) -> Any:
                made.append(first)
                return make(first, count)

            super().__init__(counted)

    monkeypatch.setattr(programs, "Ahead", Counted)
    calls = [3, 4, 10, 10, 3, 2, 9]
    fed = trained(config(), calls, streamed=True)
    assert made[:5] == [0, 10, 20, 30, 40]
    assert len(made) <= 6  # the last may be on its way
    for a, b in zip(fed[0], trained(config(), [41])[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_of_blocks_is_used_again_wherever_training_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "MOST_STREAMED_BYTES", 10 * 64 * 6 * 4)
    there, losses = [(0, 10), (10, 10), (40, 10), (50, 5), (10, 10), (0, 20)], []
    for streamed in (False, True):
        learner = AutoencoderLearner(config(), (6,), X[:50])
        program = MiniBatches(learner, X, plan(config()), streamed=streamed)
        zeros = [0.0] * len(program.names)
        losses.append([program.run(first, count, zeros)[1] for first, count in there])
    assert losses[0] == losses[1]


STREAMED = """
from tests.unit.test_programs import X, config
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.full_batch import FullBatch
from aegan.programs import MiniBatches

settings = config(batch="full", micro_batch_size=20)
learner = AutoencoderLearner(settings, (6,), X[:50])
full = FullBatch(learner, X, plan(settings), streamed=True)
assert full.units > 5
for unit in range(full.units):
    full.run(unit, 1, [0.0] * len(full.names))
mini = MiniBatches(learner, X, plan(config()), streamed=True)
for first, count in ((0, 3), (3, 2), (5, 1)):
    mini.run(first, count, [0.0] * len(mini.names))
"""


def test_xla_compiles_streamed_programs_once_for_each_shape(tmp_path: Path) -> None:
    dump = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", STREAMED],
        env=os.environ | {"XLA_FLAGS": dump, "TF_XLA_FLAGS": ""},  # nothing was compiled earlier
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    compiled = [path.name for path in tmp_path.glob("*before_optimizations.txt")]
    assert len([name for name in compiled if "_steps_" in name]) == 1, compiled
    # The last lane is shorter than the others.
    assert 1 <= len([name for name in compiled if "_units_" in name]) <= 2, compiled


SEQUENCES = np.random.default_rng(0).random((100, 6, 2), np.float32)


@pytest.mark.parametrize(
    ("section", "is_random"),
    [
        ({}, False),
        ({"cell": "lstm", "normalization": "layer"}, False),
        ({"kind": "variational", "contraction": 1e-3}, True),  # XLA draws other noise
    ],
    ids=str,
)
def test_recurrent_networks_train_in_xla_as_they_do_without(
    section: dict[str, Any], is_random: bool
) -> None:
    data = {"source": "x", "kind": "sequence"}
    section = {"network": "recurrent", "hidden": [8], "latent_size": 3, "batch_size": 32} | section
    settings = validate(tiny(autoencoder=section, data=data), "test")
    assert plan(settings, (6, 2)).xla
    weights, totals = {}, {}
    for xla in (True, False):
        learner = AutoencoderLearner(settings, (6, 2), SEQUENCES)
        program = MiniBatches(learner, SEQUENCES, replace(plan(settings), xla=xla), streamed=False)
        bad, totals[xla] = program.run(0, 4, [0.0] * len(program.names))
        assert bad == -1
        weights[xla] = [weight.numpy() for weight in learner.weights()]
    if is_random:
        return
    for compiled, plain in zip(weights[True], weights[False], strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-4)
    np.testing.assert_allclose(totals[True], totals[False], rtol=1e-4)
