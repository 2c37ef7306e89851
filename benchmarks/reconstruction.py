"""Test error of Fashion-MNIST's autoencoders at 64 codes, and how long they take.

    taskset -c 0,1 python benchmarks/reconstruction.py DATA [--check] [--only dense|conv]

DATA is the folder of the four IDX files. The preset's autoencoder is trained for small errors instead
of for sharp samples, once as the dense network that it is and once as a convolutional one, by the
pipeline's own stages. Errors are means over the 10,000 test images' pixels in [0, 1], of the model that
is exported; seconds are those of the whole training stage. Prints one JSON object a line; `--check`
exits 1 where an error or the time is above its bound.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from aegan import export
from aegan.config_file import load_config
from aegan.data.dataset import open_dataset
from aegan.stages import normalize, train_autoencoder
from aegan.stages.stage import fetch_outputs

MOST_SECONDS = 240
MOST_ERROR = 0.0050
COMMON = ("latent_size=64", "error=squared", "texture=0", "clip_at=0.1", "weight_decay=0.2")
NETWORKS = {
    "dense": ("steps=11000",),
    "conv": (
        "network=conv",
        "hidden=[32, 64]",
        "activation=leaky_relu",
        "batch_size=64",
        "steps=8300",
    ),
}


def line_of(network: str, data: str) -> dict[str, Any]:
    """The line of one network."""
    settings = [f"autoencoder.{setting}" for setting in (*COMMON, *NETWORKS[network])]
    settings += [f"data.source={data}", "data.validation_fraction=0.02"]
    text = load_config("fashion-mnist", settings).to_json()
    with tempfile.TemporaryDirectory() as root:
        split = normalize.run(text, root, "reconstruction")
        trained = train_autoencoder.run(text, root, split.uri)
        dataset = open_dataset(fetch_outputs(split.uri, Path(root)))
        folder = fetch_outputs(trained.uri, Path(root))
        model = export.load_saved(folder / "serving" / "autoencoder" / "1")
        test = dataset.features("test")
        rebuilt = model.reconstruct(dataset.normalizer.invert(test)).numpy()
        error = float(np.mean((dataset.normalizer.apply(rebuilt) - test) ** 2))
    return {
        "what": f"Fashion-MNIST, {network} autoencoder of 64 codes, test error",
        "value": round(error, 5),
        "unit": "mean squared error",
        "at_most": MOST_ERROR,
        "seconds": round(trained.seconds),
        "seconds_at_most": MOST_SECONDS,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=list(NETWORKS))
    arguments = parser.parse_args()
    missed = False
    for network in [arguments.only] if arguments.only else NETWORKS:
        line = line_of(network, arguments.data)
        print(json.dumps(line), flush=True)
        missed |= line["value"] > line["at_most"] or line["seconds"] > MOST_SECONDS
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
