"""What `aegan score` and `aegan encode` cost beside the bare model, and how much memory they take.

    python benchmarks/batch.py [--check] [--rows 200000] [--rounds 5]

    score, encode   rows/s from a file on disk to a file on disk (digest, reading, writing, renaming
                    included), as a ratio to a bare loop of the same runtime (the SavedModel in
                    TensorFlow, the ONNX model in ONNX runtime) over batches of 1024 rows that lie in
                    memory, whose answers are kept; rounds take turns. The ratio of processor time
                    beside it tells on a machine that others use, too
    memory          peak of the command's process for a file of `--rows` rows, and for one of four times
                    as many

A dense autoencoder 784-512-256-32 of 28x28 images in uint8. Prints one JSON object a line; `--check`
exits 1 where a floor is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("AEGAN_PROGRESS_SECONDS", "3600")

import numpy as np

Array = np.ndarray[Any, Any]

SHAPE = (28, 28, 1)
BATCH = 1024
LEAST_RATIO, MOST_GROWTH = 0.9, 64 * 2**20
OUTPUTS = {"score": ("npz", "parquet"), "encode": ("npz", "parquet")}


def publish(root: str) -> str:
    """The URI of a model that was hardly trained: how fast it is does not depend on that."""
    from aegan.config_file import validate
    from aegan.stages import evaluate, normalize, publish, train_autoencoder, train_gan

    np.save(f"{root}/few.npy", images(2000))
    tree = {
        "name": "batch",
        "data": {"source": f"{root}/few.npy"},
        "autoencoder": {"steps": 1},
        "gan": {"steps": 1, "hidden": [8], "components": 1, "batch_size": 64},
        "evaluation": {"samples": 100, "feature_steps": 1},
    }
    config = validate(tree, "benchmark").to_json()
    data = normalize.run(config, root, "benchmark").uri
    encoded = train_autoencoder.run(config, root, data).uri
    generated = train_gan.run(config, root, data, encoded).uri
    judged = evaluate.run(config, root, data, encoded, generated).uri
    return str(publish.run(config, root, data, encoded, generated, judged).summary["uri"])


def images(rows: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, (rows, *SHAPE), np.uint8)


def save(path: Path, rows: int) -> None:
    """A .npy file of so many rows, written in pieces."""
    piece = images(min(rows, 50_000))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (rows, *SHAPE)}
        )
        for start in range(0, rows, len(piece)):
            file.write(piece[: rows - start].tobytes())


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of the processors."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def bare_function(uri: str, backend: str, name: str) -> Callable[[Array], Array]:
    """What a runtime offers without us."""
    if backend == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(f"{uri}/onnx/{name}/1/model.onnx")
        return lambda examples: np.asarray(session.run(None, {"examples": examples})[0])
    import tensorflow as tf

    saved = tf.saved_model.load(f"{uri}/serving/autoencoder/1")
    return lambda examples: np.asarray(getattr(saved, name)(examples))  # keeps `saved` alive


def bare(function: Callable[[Array], Array], examples: Array) -> None:
    """The bare loop."""
    np.concatenate([function(examples[i : i + BATCH]) for i in range(0, len(examples), BATCH)])


def speed(uri: str, backend: str, path: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """A line for each operation and kind of output."""
    import aegan
    from aegan.batch.run import Request, run

    model, examples = aegan.load(uri, backend=backend), np.load(path)
    for name, suffixes in OUTPUTS.items():
        function = bare_function(uri, backend, name)
        bare(function, examples[: 4 * BATCH])
        for suffix in suffixes:
            output = path.with_name(f"out.{suffix}")
            request = Request(name, path, output)
            peers, owns = [], []
            for _ in range(rounds):
                peers.append(timed(partial(bare, function, examples)))
                owns.append(timed(partial(run, model, request, lambda *_: None)))
                output.unlink()
            ratios, of_processors = (
                [peer[i] / own[i] for peer, own in zip(peers, owns, strict=True)] for i in (0, 1)
            )
            rates = [len(examples) / own for own, _ in owns]
            yield {
                "what": f"aegan {name} by {backend}, .npy to .{suffix}",
                "value": round(statistics.median(rates)),
                "unit": "rows/s",
                "ratio_to_bare_loop": round(statistics.median(ratios), 3),
                "ratio_of_processor_time": round(statistics.median(of_processors), 3),
                "at_least": LEAST_RATIO,
            }


LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


def peak_memory(command: list[str]) -> int:
    """Bytes that a command held at most.

    What Linux counts of a process begins with the peak of the one that started it; so a small one does.
    """
    launched = [sys.executable, "-S", "-c", LAUNCHER, *command]
    return int(subprocess.run(launched, check=True, capture_output=True, text=True).stdout)


def memory(uri: str, folder: Path, rows: int) -> dict[str, Any]:
    """The line on memory."""
    peaks = []
    for count in (rows, 4 * rows):
        path = folder / f"{count}.npy"
        save(path, count)
        aegan = str(Path(sys.executable).with_name("aegan"))
        output = str(folder / f"{count}.parquet")
        peaks.append(peak_memory([aegan, "score", uri, str(path), "-o", output]))
        path.unlink()
    return {
        "what": f"memory of aegan score, {rows:,} and {4 * rows:,} rows of {np.prod(SHAPE)} bytes",
        "value": round(peaks[1] / 2**20),
        "unit": "MB",
        "ratio_to_fewer_rows": round(peaks[1] / peaks[0], 3),
        "more_than_fewer_rows": round((peaks[1] - peaks[0]) / 2**20),
        "at_most": MOST_GROWTH // 2**20,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stderr(io.StringIO()):
            uri = publish(name)
        save(folder / "rows.npy", arguments.rows)
        missed = False
        for backend in ("tensorflow", "onnx"):
            for line in speed(uri, backend, folder / "rows.npy", arguments.rounds):
                print(json.dumps(line), flush=True)
                missed = missed or line["ratio_to_bare_loop"] < line["at_least"]
        line = memory(uri, folder, arguments.rows)
        print(json.dumps(line), flush=True)
        missed = missed or line["more_than_fewer_rows"] > line["at_most"]
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
