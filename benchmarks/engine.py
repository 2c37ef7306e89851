"""What the training engine costs beside the arithmetic.

    taskset -c 0,1 python benchmarks/engine.py [--check] [--only NAME] [--rounds 5]

    streamed      samples/s of the training loop on examples in memory-mapped files, as a share of those
                  on examples that are resident
    full batch    seconds of a full-batch step, as a ratio to bare forward and backward passes over the
                  same micro-batches in one compiled loop, without double precision and descent
    first step    seconds from the start of the process to the end of the first step of each preset's
                  trainings, with examples of the preset's shape: building, compiling and taking it.
                  Fetching the data, encoding it and fitting the mixture are work, and not in it

Prints one JSON object a line; ratios are medians over rounds that take turns. `--check` exits 1 where a
floor is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("AEGAN_PROGRESS_SECONDS", "3600")

import numpy as np

Array = np.ndarray[Any, Any]

DENSE = {"hidden": [], "latent_size": 64, "code_activation": "relu", "schedule": "constant"}
CONV = {"network": "conv", "hidden": [32, 64], "latent_size": 64, "schedule": "constant"}
LEAST_STREAMED = {"dense": 0.8, "conv": 0.95}
FULL_BATCHES = {
    "dense": "dense 28x28",
    "conv": "conv 28x28",
    "gan": "default GAN on codes, both networks",
}
MOST_FULL_BATCH, MOST_FIRST_STEP = 1.15, 10.0
SHAPES = {"digits": (8, 8, 1)}  # of the presets' examples, where they are not Fashion-MNIST's


def parts(kind: str, **section: Any) -> tuple[Any, Any, Array]:
    """A learner, its plan and its examples."""
    from aegan import autoencoder
    from aegan.config_file import validate

    section = (DENSE if kind == "dense" else CONV) | {"validate_every": 10**9} | section
    tree = {"name": "b", "data": {"source": "x", "kind": "image"}, "autoencoder": section}
    config = validate(tree, "benchmark")
    rows = 60_000 if kind == "dense" else 8192
    examples = np.random.default_rng(0).random((rows, 28, 28, 1), np.float32)
    learner = autoencoder.AutoencoderLearner(config, (28, 28, 1), examples[:1000])
    return learner, autoencoder.plan(config), examples


def streamed(kind: str, rounds: int) -> dict[str, Any]:
    """The line of one network: rates of the real loop."""
    from training import rate_of_loop

    from aegan.data.shards import Shards

    # More than one block of streamed examples, and no whole number of them, so that all is measured.
    every = {"dense": 1100, "conv": 300}[kind]
    rates: dict[str, list[float]] = {"resident": [], "streamed": []}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.npy") for number in range(2)]
        for file, shard in zip(files, np.array_split(parts(kind)[2], len(files)), strict=True):
            np.save(file, shard)
        os.sync()  # or it would be written out while steps are measured
        for _ in range(rounds):
            for residency, found in rates.items():
                learner, plan, examples = parts(
                    kind, batch_size=128, steps=4 * every, validate_every=every
                )
                if residency == "streamed":
                    examples = Shards([np.load(file, mmap_mode="r") for file in files])
                plan = replace(plan, residency=residency)
                found.append(rate_of_loop(learner, examples, plan))
    return {
        "what": f"{kind} 28x28, batch 128, streamed",
        "value": round(statistics.median(rates["streamed"])),
        "unit": "samples/s",
        "ratio_to_resident": ratio(rates["streamed"], rates["resident"]),
        "at_least": LEAST_STREAMED[kind],
    }


def bare_gradients(kind: str, learner: Any) -> list[Callable[[Any, Any], Any]]:
    """What a bare pass computes of a micro-batch and its number, for each gradient of a step."""
    import tensorflow as tf

    if kind == "gan":
        step = tf.constant(0)
        return [
            lambda x, part, phase=phase: learner.gradients(phase, x, step, part)[0]
            for phase in range(learner.phases)
        ]
    weights = [v.value for model in (learner.encoder, learner.decoder) for v in model.weights]

    def of_reconstruction(x: Any, _: Any) -> Any:
        with tf.GradientTape() as tape:
            rebuilt = learner.decoder(learner.encoder(x, training=True), training=True)
            loss = tf.reduce_sum(tf.square(x - rebuilt)) / np.prod(x.shape[1:])
        return tape.gradient(loss, weights)

    return [of_reconstruction]


def bare_pass(kind: str, learner: Any, plan: Any, data: Any) -> Callable[[], Any]:
    """Sums of all gradients over all micro-batches of the full size, in one compiled function."""
    import tensorflow as tf

    size = plan.micro_batch_size

    def summed(gradients: Callable[[Any, Any], Any]) -> list[Any]:
        def of(part: Any) -> Any:
            start = [part * size, *[0] * (len(data.shape) - 1)]
            # Cut out so that the size is known to the compiler.
            return gradients(tf.slice(data, start, [size, *data.shape[1:]]), part)

        def body(part: Any, sums: Any) -> Any:
            return part + 1, [s + f for s, f in zip(sums, of(part), strict=True)]

        start = (tf.constant(1), of(tf.constant(0)))
        found: list[Any] = tf.while_loop(lambda part, _: part < len(data) // size, body, start)[1]
        return found

    @tf.function(jit_compile=plan.xla, autograph=False)
    def bare() -> Any:
        return [s for gradients in bare_gradients(kind, learner) for s in summed(gradients)]

    return lambda: bare()[0].numpy()


def full_batch(kind: str, rounds: int) -> dict[str, Any]:
    """The line of one training."""
    import tensorflow as tf
    from around import of_gan

    from aegan.full_batch import FullBatch

    full = {"batch": "full", "steps": 10**6}
    learner, plan, examples = of_gan(**full)[:3] if kind == "gan" else parts(kind, **full)
    program = FullBatch(learner, examples, plan, streamed=False)
    bare = bare_pass(kind, learner, plan, tf.constant(examples))

    def ours(number: int) -> None:
        first = number * program.units
        program.run(first, program.units, [0.0] * len(program.names))

    found: dict[str, list[float]] = {"ours": [], "bare": []}
    size = plan.micro_batch_size
    covered = len(examples) // size * size / len(examples)  # it leaves out the smaller last one
    for number in range(rounds + 1):
        for name, call in (("ours", lambda n=number: ours(n)), ("bare", bare)):
            start = time.perf_counter()
            call()
            if number:
                spent = time.perf_counter() - start
                found[name].append(spent / (covered if name == "bare" else 1))
    return {
        "what": f"{FULL_BATCHES[kind]}, {len(examples):,} examples, full-batch step",
        "value": round(statistics.median(found["ours"]), 3),
        "unit": "s",
        "ratio_to_bare": ratio(found["ours"], found["bare"]),
        "at_most": MOST_FULL_BATCH,
    }


def ratio(ours: list[float], peers: list[float]) -> float:
    """The median over the rounds."""
    return round(statistics.median(a / b for a, b in zip(ours, peers, strict=True)), 3)


def first_step(preset: str, stage: str) -> None:
    """In this process: build, compile, take one step, and print when that was."""
    from aegan.stages.start_up import import_keras

    import_keras()
    from aegan import autoencoder, gan, latent
    from aegan.config_file import load_config
    from aegan.programs import MiniBatches

    config = load_config(preset)
    shape = SHAPES.get(preset, (28, 28, 1))
    examples = np.random.default_rng(0).random((2000, *shape), np.float32)
    learner: Any
    if stage == "autoencoder":
        learner = autoencoder.AutoencoderLearner(config, shape, examples[:500])
        plan = autoencoder.plan(config)
    else:
        plan, mixture = gan.plan(config), None
        if config.gan.space == "latent":
            shape = (config.autoencoder.latent_size,)
            mixture = latent.standard_gaussian(shape[0])
            examples = np.random.default_rng(0).normal(size=(2000, *shape)).astype(np.float32)
        learner = gan.GanLearner(config, shape, mixture)
    program = MiniBatches(learner, examples, plan, streamed=False)
    program.run(0, 1, [0.0] * len(program.names))
    print(time.time())


def first_steps(rounds: int) -> Iterator[dict[str, Any]]:
    """A line for each stage of each preset."""
    from aegan.config_file import preset_names

    for preset in preset_names():
        for stage in ("autoencoder", "gan"):
            command = [sys.executable, __file__, "--first-step", preset, stage]
            found = []
            for _ in range(min(rounds, 3)):
                start = time.time()
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(float(done.stdout) - start)
            value = round(statistics.median(found), 1)
            line = {"what": f"{preset}, {stage}, first step", "value": value, "unit": "s"}
            yield line | {"at_most": MOST_FIRST_STEP}


def lines(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What was asked for."""
    if arguments.only in (None, "streamed"):
        yield from (streamed(kind, arguments.rounds) for kind in LEAST_STREAMED)
    if arguments.only in (None, "full"):
        yield from (full_batch(kind, arguments.rounds) for kind in FULL_BATCHES)
    if arguments.only in (None, "first"):
        yield from first_steps(arguments.rounds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=["streamed", "full", "first"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first-step", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first_step:
        first_step(*arguments.first_step)
        return 0
    missed = False
    for line in lines(arguments):
        print(json.dumps(line), flush=True)
        value = next((v for k, v in line.items() if k.startswith("ratio")), line["value"])
        missed |= value > line.get("at_most", value) or value < line.get("at_least", value)
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
