"""Every kind of data and every space of the GAN, from raw arrays to a loaded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aegan
from aegan.stages import publish
from aegan.store import open_store
from tests.conftest import make_stages, tiny

RANDOM = np.random.default_rng(0)


def images() -> dict[str, Any]:
    """Colour images whose halves mirror each other, all with the same label."""
    half = RANDOM.integers(0, 256, (300, 10, 6, 3)).astype(np.uint8)
    whole = np.concatenate([half, half[:, :, ::-1]], axis=2)
    return {"x": whole, "y": np.full(300, 7)}


def table() -> dict[str, Any]:
    """Columns of very different scales, one of them constant, two classes."""
    labels = RANDOM.integers(0, 2, 400)
    values = RANDOM.normal(size=(400, 5)) * [1, 100, 1e-3, 0, 5] + [0, 1e4, 0, 3, 0]
    values[:, 0] += 4 * labels
    return {"x": values, "y": labels}


def sequences() -> dict[str, Any]:
    """Sine waves of random phase, without labels."""
    phases = RANDOM.random((300, 1, 2)) * 6
    time = np.arange(12).reshape(1, 12, 1)
    return {"x": np.sin(time / 2 + phases).astype(np.float32)}


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "conv images, GAN on the data": (
        images,
        {
            "data": {"kind": "image"},
            "autoencoder": {"network": "conv", "hidden": [8, 8]},
            "gan": {"space": "data", "network": "conv", "hidden": [8, 8]},
        },
    ),
    "table, standard scaling": (
        table,
        {
            "data": {"kind": "tabular"},
            "normalize": {"method": "standard"},
            "gan": {"draws_per_sample": 2, "patience": 40}
            | {"learning_rate": 0.0, "discriminator_learning_rate": 0.001},
        },
    ),
    "sequences, the article's prior and objective": (
        sequences,
        {
            "data": {"kind": "sequence"},
            "gan": {"prior": "normal", "objective": "minimax"},
        },
    ),
    "recurrent networks all through": (
        sequences,
        {
            "data": {"kind": "sequence"},
            "autoencoder": {"network": "recurrent", "hidden": [8], "steps": 200},
            "gan": {"space": "data", "network": "recurrent", "hidden": [8], "cell": "lstm"},
        },
    ),
    "a variational autoencoder with a GAN on its codes": (
        images,
        {"data": {"kind": "image"}, "autoencoder": {"kind": "variational", "beta": 0.001}},
    ),
    "table, GAN on the data": (
        table,
        {"data": {"kind": "tabular"}, "gan": {"space": "data"}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_from_raw_arrays_to_a_model_in_raw_units(case: str, tmp_path: Path) -> None:
    make, sections = CASES[case]
    arrays = make()
    np.savez(tmp_path / "data.npz", **arrays)
    sections = sections | {"data": sections["data"] | {"source": str(tmp_path / "data.npz")}}
    sections["data"]["test_fraction"] = 0.2
    root = str(tmp_path / "root")
    stages = make_stages(tiny(**sections), root)
    uris = [stages[s].uri for s in ("normalize", "train_autoencoder", "train_gan", "evaluate")]
    publish.run(stages["config"], root, *uris)

    model = aegan.load(f"{root}/models/tiny")
    assert model.backend == "onnx"
    other = aegan.load(f"{root}/models/tiny", backend="tensorflow")
    examples = arrays["x"][:20]
    for name, given in (("encode", examples), ("reconstruct", examples), ("sample", 300)):
        ours, theirs = (
            getattr(m, name)(given, *([7] if name == "sample" else [])).astype(float)
            for m in (model, other)
        )
        whole = examples.dtype.kind in "ui" and name != "encode"
        # Of each column, whose units and ranges differ.
        tolerance = 1 if whole else 1e-5 * np.abs(theirs).max(axis=tuple(range(theirs.ndim - 1)))
        assert (np.abs(ours - theirs) <= tolerance + 1e-6).all(), name
    assert model.shape == examples.shape[1:]
    samples = model.sample(30, seed=1)
    assert (samples.shape, samples.dtype) == ((30, *model.shape), examples.dtype)
    rebuilt = model.reconstruct(examples)
    assert rebuilt.dtype == examples.dtype
    assert np.isfinite(model.score(examples)).all()

    # A choice is among draws of a wider mixture; a version has the one that its samples come from.
    made = Path(stages["train_gan"].uri, stages["train_gan"].attempt, "mixtures")
    plain, started = (np.load(made / f"{name}.npz") for name in ("mixture", "gan"))
    ratio = started["factors"].max() / plain["factors"].max()
    assert 1 <= ratio <= 1.5
    assert (ratio > 1.01) == ("draws_per_sample" in sections.get("gan", {}))
    np.testing.assert_allclose(started["factors"], ratio * plain["factors"], rtol=1e-5)
    (version,) = Path(root, "models", "tiny", "versions").iterdir()
    verdict = json.loads((version / "report" / "verdict.json").read_text("utf-8"))
    found = np.load(version / "preprocess" / "mixture.npz")
    selected = np.load(made / f"{verdict['selected']}.npz")
    assert all(np.array_equal(found[name], selected[name]) for name in selected)

    report = open_store(f"{stages['evaluate'].uri}/{stages['evaluate'].attempt}/report")
    page = (report.read("report.html") or b"").decode()
    assert page.count('src="data:image/png;base64,') == 3
    assert ("prior of the variational autoencoder" in page) == ("variational" in case)
    assert ("all labels are the same" in page) == (make is images)
    assert ("there are no labels" in page) == (make is sequences)
