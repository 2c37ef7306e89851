"""Share of a training's seconds that is not spent in its steps.

    taskset -c 0,1 python benchmarks/around.py [--check] [--only autoencoder|gan] [--seconds 150]

What lies around the steps: validation, progress, curves, previews and checkpoints, all at their
defaults (by which no GAN is validated). Compiling the steps is in engine.py's `first step`. The default
autoencoder is trained on as many images as Fashion-MNIST has, the default GAN on as many codes, for
about so many seconds. Threads write checkpoints and curves beside the steps; what that takes from them
is in `steps_to_alone`, the ratio of the steps' rate to the one that they have alone, just before and
after. Prints one JSON object a line; `--check` exits 1 where a share is above its bound.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

Array = np.ndarray[Any, Any]

MOST_AROUND = 0.03
ROWS, HELD_OUT = 54_000, 6000  # of Fashion-MNIST
SHAPE = (28, 28, 1)


def configured(mode: str, **section: Any) -> Any:
    """The defaults, but for these settings of a training's section."""
    from aegan.config_file import validate

    tree = {"name": "b", "data": {"source": "x", "kind": "image"}, mode: section}
    return validate(tree, "benchmark")


def of_autoencoder(**section: Any) -> tuple[Any, Any, Array, None]:
    """Learner, plan, examples, and what decodes previews."""
    from aegan import autoencoder

    config = configured("autoencoder", **section)
    examples = np.random.default_rng(0).random((ROWS, *SHAPE), np.float32)
    learner = autoencoder.AutoencoderLearner(config, SHAPE, examples[:HELD_OUT])
    return learner, autoencoder.plan(config, SHAPE, (ROWS, HELD_OUT)), examples, None


def of_gan(**section: Any) -> tuple[Any, Any, Array, Callable[[Any], Any]]:
    """The same of the GAN on whitened codes."""
    from aegan import autoencoder, gan, mixtures

    config = configured("gan", **section)
    size = config.autoencoder.latent_size
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((ROWS, size), np.float32)
    decoder = autoencoder.AutoencoderLearner(
        config, SHAPE, np.zeros((1, *SHAPE), np.float32)
    ).decoder
    mixture = mixtures.fit_mixture(codes, config.gan.components, config.seed)
    return gan.GanLearner(config, (size,), mixture), gan.plan(config), codes, decoder


MODES: dict[str, Callable[..., tuple[Any, Any, Array, Any]]] = {
    "autoencoder": of_autoencoder,
    "gan": of_gan,
}


def rate(program: Any, seconds: float) -> float:
    """Steps per second of a program of mini-batches."""
    count, done, start = program.most_units, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        program.run(done + count, count, [0.0] * len(program.names))
        done += count
    return done / (time.perf_counter() - start)


def rate_alone(mode: str) -> float:
    """Steps per second with nothing around them."""
    from aegan.programs import MiniBatches

    learner, plan, examples, _ = MODES[mode]()
    program = MiniBatches(learner, examples, plan, streamed=False)
    rate(program, 2.0)  # compiles
    return rate(program, 8.0)


def line_of(mode: str, seconds: float) -> dict[str, Any]:
    """The line of one training."""
    from aegan import training
    from aegan.checkpoints import Checkpoints
    from aegan.data.normalizer import fit
    from aegan.monitor import Monitor
    from aegan.programs import MiniBatches
    from aegan.stages.training_stage import preview_interval
    from aegan.store import open_store

    before = rate_alone(mode)
    steps = int(seconds * before)
    learner, plan, examples, decode = MODES[mode](steps=steps)
    every = preview_interval(getattr(configured(mode, steps=steps), mode))
    calls: list[tuple[int, float]] = []  # steps and seconds
    run = MiniBatches.run

    def timed(self: Any, first: int, count: int, totals: list[float]) -> Any:
        start = time.perf_counter()
        found = run(self, first, count, totals)
        calls.append((count, time.perf_counter() - start))
        return found

    MiniBatches.run = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        normalizer = fit(np.random.default_rng(0).random((100, *SHAPE)), "minmax", "image")
        monitor = Monitor(store, "p", normalizer, stage="s", preview_every=every)
        if decode is not None:
            monitor.decode = decode
        with contextlib.closing(monitor):
            start = time.perf_counter()
            training.train(learner, examples, plan, Checkpoints(store, "c", "s"), monitor)
            whole = time.perf_counter() - start
        written = sum(path.is_file() for path in Path(folder).rglob("*"))
    MiniBatches.run = run  # type: ignore[method-assign]
    alone = (before + rate_alone(mode)) / 2
    done, taken = (sum(column) for column in zip(*calls[1:], strict=True))  # the first compiles
    return {
        "what": f"default {mode}, {steps:,} steps in {whole:.0f} s, outside its steps",
        "value": round(1 - (taken + calls[0][1]) / whole, 4),
        "unit": "share of the seconds",
        "steps_to_alone": round(done / taken / alone, 3),
        "files": written,
        "at_most": MOST_AROUND,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=list(MODES))
    parser.add_argument("--seconds", type=float, default=150.0)
    arguments = parser.parse_args()
    missed = False
    for mode in [arguments.only] if arguments.only else MODES:
        line = line_of(mode, arguments.seconds)
        print(json.dumps(line), flush=True)
        missed |= line["value"] > line["at_most"]
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
