"""How long a person waits before the command line and the library answer.

    python benchmarks/startup.py [--check] [MODEL]

MODEL is what `aegan sample` draws from, such as demo/models/digits; without it a small one is trained
first. It is drawn with what is installed: ONNX runtime if it is. Prints one JSON object a line: what,
value (median seconds), unit, and the ratio to a peer measured in the same run, in turns: the bare
interpreter, or the import of TensorFlow. `--check` exits 1 where a floor is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 7
AEGAN = str(Path(sys.executable).with_name("aegan"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import aegan": [sys.executable, "-c", "import aegan"],
    "aegan --help": [AEGAN, "--help"],
    "import tensorflow": [sys.executable, "-c", "import tensorflow"],
}
SAMPLING = "aegan sample"
FLOORS = {"aegan --help": 0.3, SAMPLING: 2.0}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("model", nargs="?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = arguments.model or small_model(scratch)
        output = str(Path(scratch) / "samples.npz")
        COMMANDS[SAMPLING] = [AEGAN, "sample", model, "-n", "64", "--seed", "7", "-o", output]
        return int(measure() and arguments.check)


def small_model(root: str) -> str:
    """Train and publish one."""
    settings = (
        "autoencoder={hidden: [64], latent_size: 16, steps: 200}",
        "gan={hidden: [64], steps: 20, components: 10}",
        "evaluation={samples: 200, feature_steps: 20}",
    )
    chosen = [part for setting in settings for part in ("--set", setting)]
    subprocess.run(
        [AEGAN, "run", "digits", "--root", root, *chosen], check=True, capture_output=True
    )
    return f"{root}/models/digits"


def measure() -> bool:
    """Print a line for each command; whether a floor is missed."""
    for command in COMMANDS.values():  # warm the disk cache
        seconds(command)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    missed = False
    for name, value in medians.items():
        line = {"what": name, "value": round(value, 3), "unit": "s"}
        for peer in ("python -c pass", "import tensorflow"):
            line[f"ratio_to_{peer.replace(' ', '_')}"] = round(value / medians[peer], 3)
        if name in FLOORS:
            line["at_most"] = FLOORS[name]
            missed = missed or value > FLOORS[name]
        print(json.dumps(line))
    return missed


if __name__ == "__main__":
    sys.exit(main())
