"""What a step of a GAN draws at random: a function of the seed, the step, and the micro-batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from aegan import replicas, training

Tensor = Any


@dataclass(frozen=True)
class Draws:
    """Seeds, [2] int32 each; those of P phases stacked, so that a phase may be counted in a graph.

    The D phases of the discriminator come first, then those of the generator.

    Attributes:
        noise: [P, 2], of each phase; the generator's first has that of the discriminator's last.
        penalty: [D, 2], of each of the discriminator's phases.
        dropout: of the step.
        part: the micro-batch of a full batch; None in a mini-batch.
        augmentation: [P, 2, 2], of each phase, for examples and for samples.
    """

    noise: Tensor
    penalty: Tensor
    dropout: Tensor
    part: Tensor | None
    augmentation: Tensor


def draws_of(
    seed: int, step: Tensor, *, discriminator: int, generator: int, part: Tensor | None = None
) -> Draws:
    """The seeds of a step of so many phases of each network."""
    seeds = training.step_seeds(seed, step, part)
    noise, penalty, dropout = (next(seeds) for _ in range(3))
    earlier = [(next(seeds), next(seeds)) for _ in range(discriminator - 1)]
    augmentation = [[next(seeds), next(seeds)] for _ in range(discriminator + 1)]
    # Last, so that one step of the generator draws the same with and without them.
    further = [(next(seeds), [next(seeds), next(seeds)]) for _ in range(generator - 1)]
    noises = [*(of_noise for of_noise, _ in earlier), noise]
    return Draws(
        noise=tf.stack([*noises, noise, *(of_noise for of_noise, _ in further)]),
        penalty=tf.stack([*(of_penalty for _, of_penalty in earlier), penalty]),
        dropout=dropout,
        part=part,
        augmentation=tf.stack([*augmentation, *(pair for _, pair in further)]),
    )


def uniform(batch: Tensor, shape: list[int], seed: Tensor, part: Tensor | None) -> Tensor:
    """Draws from [0, 1) for each row of a batch [B, ...]: [B, *shape]."""
    return replicas.rows(
        lambda size: tf.random.stateless_uniform([size, *shape], seed), tf.shape(batch)[0], part
    )
