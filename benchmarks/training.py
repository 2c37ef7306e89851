"""Training speed beside Keras and PyTorch, in samples per second.

    taskset -c 0,1 python benchmarks/training.py [--check] [--torch PYTHON]
        [--only dense|conv|recurrent] [--rounds 5]

Each round runs every contender once, in turns; medians over the rounds are compared. aegan's rate is
that of its real training loop with its evaluations, after compilation; what goes by the clock (progress,
previews, checkpoints every two minutes) is in around.py. The peers run their plain
loops after a warm-up. Prints one JSON object a line. Dense networks also
tell their share of this machine's rate of large matrix products, counting 6 operations for each
weight and sample (forward, gradient by inputs, gradient by weights). PyTorch takes part if `--torch`
names an interpreter that has it. Peers run in processes of their own: aegan makes TensorFlow
deterministic, which would slow them, and PyTorch cannot share a process with TensorFlow. `--check`
exits 1 where a floor is missed, and says so where PyTorch's were not measured.
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
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("AEGAN_PROGRESS_SECONDS", "3600")

import numpy as np

Array = np.ndarray[Any, Any]
Contender = Callable[[], float]

SECONDS = 2.0  # of training in a round, about
FLOORS = {
    "dense autoencoder 784-64-784, batch 32": {"keras": 5.0, "pytorch": 2.0},
    "dense autoencoder 784-64-784, batch 128": {"keras": 6.0, "pytorch": 2.0, "sgemm": 0.8},
    "dense autoencoder 784-64-784, batch 1024": {"keras": 3.5, "pytorch": 2.0},
    "convolutional GAN 28x28, batch 128": {"keras": 1.15, "pytorch": 1.3},
    "GRU autoencoder 24x6, batch 128": {"keras": 1.5, "pytorch": 1.3},
}


def aegan_autoencoder(
    examples: Array, kind: str, batch: int, rate: float, **section: Any
) -> Contender:
    """Rounds of the real loop on an autoencoder."""
    from aegan import autoencoder
    from aegan.config_file import validate

    every = max(20, int(rate * SECONDS / batch / 4))
    section |= {"batch_size": batch, "steps": 5 * every, "validate_every": every}
    tree = {"name": "b", "data": {"source": "x", "kind": kind}, "autoencoder": section}
    config = validate(tree, "benchmark")

    def run() -> float:
        learner = autoencoder.AutoencoderLearner(config, examples.shape[1:], examples[:1000])
        plan = autoencoder.plan(config, examples.shape[1:])
        return rate_of_loop(learner, examples, plan)

    return run


def aegan_gan(examples: Array, batch: int, rate: float, **section: Any) -> Contender:
    """Rounds of the real loop on a GAN on the data itself."""
    from dataclasses import replace

    from aegan import gan
    from aegan.config_file import validate

    every = max(4, int(rate * SECONDS / batch / 4))
    section |= {"batch_size": batch, "steps": 5 * every, "space": "data"}
    config = validate({"name": "b", "data": {"source": "x"}, "gan": section}, "benchmark")

    def run() -> float:
        learner = gan.GanLearner(config, examples.shape[1:], None)
        return rate_of_loop(learner, examples, replace(gan.plan(config), validate_every=every))

    return run


def rate_of_loop(learner: Any, examples: Array, plan: Any) -> float:
    """Samples per second of all evaluations' intervals but the first, which compiles."""
    from aegan import training
    from aegan.checkpoints import Checkpoints
    from aegan.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(open_store(folder), "checkpoints", plan.stage)
        history = training.train(learner, examples, plan, checkpoints)
    seconds = [record["seconds"] for record in history[1:]]
    return plan.batch_size * plan.validate_every * len(seconds) / sum(seconds)


def dense(batch: int) -> Contender:
    x = np.random.default_rng(0).random((60_000, 784), np.float32)
    section = {"hidden": [], "latent_size": 64, "code_activation": "relu", "schedule": "constant"}
    return aegan_autoencoder(x, "tabular", batch, 300_000, **section)


def recurrent(batch: int) -> Contender:
    x = np.random.default_rng(0).random((20_000, 24, 6), np.float32)
    section = {"network": "recurrent", "hidden": [64], "latent_size": 16, "schedule": "constant"}
    return aegan_autoencoder(x, "sequence", batch, 10_000, **section)


def conv_gan(batch: int) -> Contender:
    x = np.random.default_rng(0).random((10_000, 28, 28, 1), np.float32)
    section = {"network": "conv", "hidden": [32, 64], "noise_size": 64}
    return aegan_gan(x, batch, 1500, **section, normalization="none", schedule="constant")


class Peer:
    """Another framework in a process of its own, which trains for a round whenever it is asked to."""

    def __init__(self, python: str, name: str, kind: str, batch: int):
        """Start `<name>_peer.py`; its first round compiles."""
        script = Path(__file__).with_name(f"{name}_peer.py")
        self._process = subprocess.Popen(
            [python, str(script), kind, str(batch), str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self) -> dict[str, float]:
        """Samples per second by variant."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        rates: dict[str, float] = json.loads(self._process.stdout.readline())
        return rates

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def sgemm_rate() -> float:
    """Operations per second of 2048² float32 matrix products, the median of 7."""
    import tensorflow as tf

    a = tf.ones((2048, 2048))
    times = []
    for _ in range(8):
        start = time.perf_counter()
        tf.matmul(a, a).numpy()
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(times[1:])


CASES: dict[str, tuple[str, int, Callable[[int], Contender]]] = {
    "dense autoencoder 784-64-784, batch 32": ("dense", 32, dense),
    "dense autoencoder 784-64-784, batch 128": ("dense", 128, dense),
    "dense autoencoder 784-64-784, batch 1024": ("dense", 1024, dense),
    "convolutional GAN 28x28, batch 128": ("conv", 128, conv_gan),
    "GRU autoencoder 24x6, batch 128": ("recurrent", 128, recurrent),
}


def measure(what: str, rounds: int, torch: str | None) -> dict[str, Any]:
    """The line of one case."""
    kind, batch, make = CASES[what]
    run = make(batch)
    peers = [Peer(sys.executable, "keras", kind, batch)]
    peers += [Peer(torch, "torch", kind, batch)] if torch else []
    rates: dict[str, list[float]] = defaultdict(list)
    products = []
    for number in range(rounds + 1):
        product, found = sgemm_rate(), {"aegan": run()}
        for peer in peers:
            found |= peer.round()
        if number:  # the first is a warm-up
            products.append(product)
            for name, rate in found.items():
                rates[name].append(rate)
    for peer in peers:
        peer.close()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ours = medians.pop("aegan")
    line: dict[str, Any] = {"what": what, "value": round(ours), "unit": "samples/s"}
    for name, rate in medians.items():
        line |= {name: round(rate), f"ratio_to_{name}": round(ours / rate, 2)}
    if kind == "dense":
        share = ours * 6 * 2 * 784 * 64 / statistics.median(products)
        line |= {"ratio_to_sgemm": round(share, 2)}
    return line | {"at_least": FLOORS[what]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--torch", metavar="PYTHON")
    parser.add_argument("--only", choices=["dense", "conv", "recurrent"])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    missed = False
    for what, (kind, _, _) in CASES.items():
        if arguments.only in (None, kind):
            line = measure(what, arguments.rounds, arguments.torch)
            missed |= any(line.get(f"ratio_to_{k}", 1e9) < v for k, v in FLOORS[what].items())
            print(json.dumps(line), flush=True)
    if arguments.check and not arguments.torch:
        print("not measured: PyTorch; --torch names an interpreter that has it", file=sys.stderr)
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
