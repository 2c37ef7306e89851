"""What is exported draws what the Keras networks and the mixture do when it is worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan import export, export_onnx, latent
from tests.unit.test_export_onnx import samplers

PROGRAM = Path(__file__).parents[1] / "integration" / "by_hand.py"
KINDS = ["mixture", "refined", "chosen", "whole", "noise"]
KINDS += ["refined classes", "chosen classes", "noise classes"]
TOLERANCE = 1e-5  # of the range of the samples
COUNT, SEED = 300, 5


def laid_out(sampler: export.Sampler, folder: Path) -> dict[str, Any]:
    """The sampler as a version holds it, and how to sample from it by hand."""
    for name in ("keras", "preprocess"):
        (folder / name).mkdir(parents=True)
    choice = (None, 1) if sampler.choice is None else sampler.choice
    whitening, decoder = sampler.decoding or (None, None)
    networks = {"generator": sampler.network, "decoder": decoder, "discriminator": choice[0]}
    for name, network in networks.items():
        if network is not None:
            network.save(folder / "keras" / f"{name}.keras")
    for name, arrays in (("mixture", sampler.mixture), ("whitening", whitening)):
        if arrays is not None:
            latent.save_arrays(folder / "preprocess" / f"{name}.npz", arrays)
    export.save_generator(export.GeneratorExport(sampler), folder / "serving" / "generator" / "1")
    export_onnx.save_sampler(sampler, folder / "onnx")
    return {
        "folder": str(folder),
        "noise_size": sampler.noise_size,
        "prior": "normal" if sampler.mixture is None else "mixture",
        "whitened": sampler.decoding is not None,
        "draws": choice[1],
        "frequencies": None if sampler.frequencies is None else sampler.frequencies.tolist(),
        "offset": sampler.normalizer.offset.tolist(),
        "scale": sampler.normalizer.scale.tolist(),
        "num": COUNT,
        "seed": SEED,
        "out": str(folder / "out.npz"),
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What one fresh process says of each kind of sampler."""
    place = tmp_path_factory.mktemp("samplers")
    jobs = {kind: laid_out(made, place / kind) for kind, made in samplers().items()}
    assert sorted(jobs) == sorted(KINDS)
    (place / "jobs.json").write_text(json.dumps(list(jobs.values())))
    command = [sys.executable, "-I", str(PROGRAM), str(place / "jobs.json")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {kind: dict(np.load(job["out"])) for kind, job in jobs.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["SavedModel", "ONNX"])
def test_what_is_exported_draws_what_keras_says(
    form: str, kind: str, drawn: dict[str, dict[str, np.ndarray]]
) -> None:
    found, expected = drawn[kind][form], drawn[kind]["by_hand"]
    assert found.shape == expected.shape == (COUNT, 4, 2, 1)
    tolerance = TOLERANCE * np.ptp(expected)
    if found.dtype.kind == "u":  # rounded, so what lies close to a half may go either way
        tolerance += 0.5
    assert np.abs(found.astype(float) - expected).max() <= tolerance
    assert np.ptp(expected) > 1
