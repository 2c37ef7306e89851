"""Quality by time on Fashion-MNIST: the preset within a budget of seconds on two cores.

    python benchmarks/quality.py DATA [--budget 150|600] [--check] [--set path.to.key=value]

DATA is the folder of the four IDX files. The preset's autoencoder, mixture and GAN are trained by the
pipeline's own stages, with as many steps as the budget takes, and compared with the 10,000 test images
in the features of one classifier, 10,000 samples of each of five seeds: mean and twice the standard
deviation. Within 150 s a plain Keras DCGAN (BCE, BatchNorm, Adam 2e-4, β₁ 0.5, width 32) is trained for
as long as both trainings took, three times, as it turns out differently each time; the median of its
distances counts. Prints one JSON object a line; `--check` exits 1 where the budget or a floor is
missed: within 150 s those of the GAN's scores and of its distance beside the DCGAN's; within 600 s that
the GAN is better than its mixture in precision and in coverage, and at no longer a distance: the
intervals are then two standard errors of the mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from aegan import export
from aegan.batches import in_batches
from aegan.config_file import load_config
from aegan.data.dataset import open_dataset
from aegan.evaluation.features import feature_extractor
from aegan.evaluation.metrics import frechet_distance, manifold_scores
from aegan.stages import normalize, train_autoencoder, train_gan
from aegan.stages.stage import fetch_outputs

Array = np.ndarray[Any, Any]
SAMPLES, SEEDS, NEIGHBOURS = 10_000, 5, 5
DCGANS = 3
FLOORS = {"precision": 0.95, "recall": 0.65, "coverage": 0.92}
MOST_RATIO = 0.1  # of the Fréchet distances
BUDGETS = {
    150: ("autoencoder.steps=5700", "gan.steps=1900"),
    600: (),
}


def dcgan(seconds: float, images: Array, seed: int) -> Callable[[int], Array]:
    """Train the usual DCGAN for so many seconds; returns what draws images."""
    tf.random.set_seed(seed)
    width, noise = 32, 64
    generator = keras.Sequential(
        [
            keras.Input((noise,)),
            layers.Dense(7 * 7 * 2 * width, use_bias=False),
            *[layers.BatchNormalization(), layers.ReLU(), layers.Reshape((7, 7, 2 * width))],
            layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False),
            *[layers.BatchNormalization(), layers.ReLU()],
            layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *[layers.Conv2D(width, 4, 2, "same"), layers.LeakyReLU(negative_slope=0.2)],
            layers.Conv2D(2 * width, 4, 2, "same", use_bias=False),
            *[layers.BatchNormalization(), layers.LeakyReLU(negative_slope=0.2)],
            *[layers.Flatten(), layers.Dense(1)],
        ]
    )
    optimizers = [keras.optimizers.Adam(2e-4, 0.5) for _ in range(2)]
    for optimizer, network in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(network.trainable_variables)

    @tf.function
    def step(real: Any) -> None:
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(tf.random.normal((128, noise)), training=True)
            d_real, d_fake = discriminator(real, training=True), discriminator(fake, training=True)
            d_loss = tf.reduce_mean(tf.nn.softplus(-d_real)) + tf.reduce_mean(
                tf.nn.softplus(d_fake)
            )
            g_loss = tf.reduce_mean(tf.nn.softplus(-d_fake))
        losses = ((g_loss, g_tape, generator), (d_loss, d_tape, discriminator))
        for (loss, tape, network), optimizer in zip(losses, optimizers, strict=True):
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply(gradients, network.trainable_variables)

    options = tf.data.Options()
    options.autotune.enabled = False  # whose thread at times never ends
    dataset = tf.data.Dataset.from_tensor_slices(images).shuffle(60_000).repeat().batch(128)
    batches = iter(dataset.with_options(options))
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        step(next(batches))

    def draw(seed: int) -> Array:
        drawn = np.random.default_rng(seed).normal(size=(SAMPLES, noise)).astype(np.float32)
        return in_batches(lambda x: generator(x, training=False), drawn)

    return draw


def scores(real: Array, draw: Callable[[int], Array], extract: Callable[[Array], Array]) -> Any:
    """Mean and twice the deviation over seeds of each score."""
    found = []
    for seed in range(SEEDS):
        fake = extract(draw(seed))
        distance = {"frechet_distance": frechet_distance(real, fake)}
        found.append(distance | manifold_scores(real, fake, NEIGHBOURS))
    return {
        name: [round(float(np.mean(v)), 4), round(2 * float(np.std(v, ddof=1)), 4)]
        for name in found[0]
        for v in [[row[name] for row in found]]
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--budget", type=int, choices=BUDGETS, default=150)
    parser.add_argument("--set", action="append", default=[], metavar="path.to.key=value")
    arguments = parser.parse_args()
    chosen = [f"data.source={arguments.data}", *BUDGETS[arguments.budget], *arguments.set]
    config = load_config("fashion-mnist", chosen)
    with tempfile.TemporaryDirectory() as root:
        text = config.to_json()
        data = normalize.run(text, root, "quality")
        encoded = train_autoencoder.run(text, root, data.uri)
        generated = train_gan.run(text, root, data.uri, encoded.uri)
        seconds = encoded.seconds + generated.seconds
        dataset = open_dataset(fetch_outputs(data.uri, Path(root)))
        extract, features = feature_extractor(dataset, config)
        real = extract(dataset.features("test"))
        folder = fetch_outputs(generated.uri, Path(root)) / "candidates"
        rows: dict[str, Any] = {}
        for name in ("mixture", "gan"):
            saved = export.load_saved(folder / name)

            def draw(seed: int, saved: Any = saved) -> Array:
                examples = saved.sample(tf.constant(SAMPLES), tf.constant(seed)).numpy()
                return dataset.normalizer.apply(examples)

            rows[name] = scores(real, draw, extract)
        if arguments.budget == 150:
            images = dataset.features("train")
            for number in range(1, DCGANS + 1):
                rows[f"dcgan {number}"] = scores(real, dcgan(seconds, images, number), extract)
    for name, row in rows.items():
        line = {"what": f"Fashion-MNIST, {name}", "seconds": round(seconds), "features": features}
        print(json.dumps(line | row | ratios(row, rows)))
    missed = below_floors(rows) if arguments.budget == 150 else no_better_than_mixture(rows)
    if seconds > arguments.budget:
        missed.append(f"{seconds:.0f} s of {arguments.budget}")
    for text in missed:
        print(f"missed: {text}", file=sys.stderr)
    return int(bool(missed) and arguments.check)


def ratios(row: Any, rows: dict[str, Any]) -> dict[str, float]:
    """Of the Fréchet distance to the mixture's, and to the median of the DCGANs'."""
    distances = {name: found["frechet_distance"][0] for name, found in rows.items()}
    peers = {"mixture": distances["mixture"]}
    if dcgans := [distance for name, distance in distances.items() if name.startswith("dcgan")]:
        peers["dcgan"] = statistics.median(dcgans)
    distance = row["frechet_distance"][0]
    return {
        f"frechet_distance_ratio_to_{name}": round(distance / peer, 3)
        for name, peer in peers.items()
    }


def below_floors(rows: dict[str, Any]) -> list[str]:
    """What the GAN misses within the short budget."""
    row, ratio = rows["gan"], ratios(rows["gan"], rows)["frechet_distance_ratio_to_dcgan"]
    missed = [f"{k} {row[k][0]} of {least}" for k, least in FLOORS.items() if row[k][0] < least]
    return missed + ([f"ratio {ratio} of {MOST_RATIO}"] if ratio > MOST_RATIO else [])


def no_better_than_mixture(rows: dict[str, Any]) -> list[str]:
    """In what the GAN does not clearly beat its mixture."""
    missed = []
    for name, sign in (("precision", 1), ("coverage", 1), ("frechet_distance", -1)):
        (ours, our_spread), (theirs, their_spread) = rows["gan"][name], rows["mixture"][name]
        errors = (our_spread + their_spread) / SEEDS**0.5
        # The scores must be apart; a distance must only not be longer.
        if sign * (ours - theirs) <= sign * errors:
            missed.append(f"{name} {ours} ± {our_spread}, the mixture's {theirs} ± {their_spread}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
