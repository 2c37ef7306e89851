"""Publish the tiny version that tests/unit/test_versions.py loads for ever, with the values it gives.

    python -m tests.make_version

It goes to tests/data/versions/<number of the format>/, in place of what is there. Before the first
release of a format, run this whenever what is published changes. After the release, never again: that
folder stands for what people have in their buckets. A new format gets a new folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

import aegan
from aegan.data.schema import SCHEMA_VERSION
from aegan.stages import publish
from tests.conftest import make_stages, tiny

VERSIONS = Path(__file__).parent / "data" / "versions"
SEED, LABEL = 7, 3


def answers(model: aegan.Model, examples: np.ndarray) -> dict[str, np.ndarray]:
    """What a version is held to: everything that it can be asked."""
    codes = model.encode(examples)
    return {
        "codes": codes,
        "scores": model.score(examples),
        "decoded": model.decode(codes),
        "reconstructions": model.reconstruct(examples),
        "samples": model.sample(20, seed=SEED),
        "samples_of_class": model.sample(20, seed=SEED, label=LABEL),
    }


def main() -> None:
    from sklearn.datasets import load_digits

    tree = tiny(
        autoencoder={"hidden": [16], "latent_size": 4, "steps": 400},
        gan={"conditional": True, "hidden": [8], "components": 2, "steps": 50},
    )
    with tempfile.TemporaryDirectory() as root:
        made = make_stages(tree, root)
        stages = ("normalize", "train_autoencoder", "train_gan", "evaluate")
        publish.run(made["config"], root, *(made[stage].uri for stage in stages))
        folder = VERSIONS / str(SCHEMA_VERSION)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(root, "models"), folder / "models")
    examples = load_digits().images[:20, ..., np.newaxis].astype(np.uint8)
    model = aegan.load(f"{folder}/models/tiny@champion")
    np.savez_compressed(folder / "answers.npz", examples=examples, **answers(model, examples))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {model.version}, {size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
