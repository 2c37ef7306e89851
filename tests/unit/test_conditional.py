"""GANs that know the classes: samples of a class can be asked for, by code and by command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from aegan_pipelines.cli import main
from click.testing import CliRunner

import aegan
from aegan import export, gan, latent, mixtures, networks, training
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.config_training import Architecture
from aegan.data.normalizer import Normalizer
from aegan.errors import DataError
from aegan.stages import normalize, publish
from aegan.store import open_store
from tests.conftest import make_stages, tiny

CENTRES = np.array([[-1.5, 0.5], [1.5, -0.5]], np.float32)
COUNT = 1000
AS_IT_IS = Normalizer("standard", np.float32(0), np.float32(1), "float32")


def blobs(share: float = 0.5, spread: float = 0.1) -> tuple[Any, Any]:
    """Points around one centre for each class, and their classes, of which 1 has that share."""
    random = np.random.default_rng(0)
    labels = (random.random(2000) < share).astype(np.int32)
    noise = spread * random.normal(size=(2000, 2))
    return (CENTRES[labels] + noise).astype(np.float32), labels


def trained(place: Path, mixture: Any = None, share: float = 0.5, **settings: Any) -> Any:
    """The export of a GAN trained on the blobs."""
    section = {"space": "data", "conditional": True, "hidden": [64, 64], "batch_size": 128}
    section |= {"learning_rate": 1e-3, "ema_decay": 0.99, "gamma": 0.1, "steps": COUNT}
    data = {"source": "x", "kind": "tabular"}
    tree = tiny(gan=section | settings, data=data, normalize={"method": "standard"})
    config = validate(tree, "test")
    examples, labels = blobs(share)
    learner = gan.GanLearner(config, (2,), mixture, frequencies=latent.frequencies(labels))
    checkpoints = Checkpoints(open_store(str(place)), "checkpoints", "train_gan")
    history = training.train(learner, (examples, labels), gan.plan(config), checkpoints)
    assert all(np.isfinite(list(record.values())).all() for record in history)
    assert learner.preview().shape == (64, 2)
    return export.GeneratorExport(
        export.Sampler(
            learner.average,
            mixture,
            config.gan.noise_size,
            None,
            AS_IT_IS,
            (2,),
            latent.frequencies(labels),
        )
    )


def of_class(exported: Any, label: int, count: int = 400) -> Any:
    numbers = (tf.constant(number) for number in (count, 5, label))
    return exported.sample_class(*numbers).numpy()


def share_near(samples: Any, label: int) -> float:
    """How many samples are nearer to the centre of a class than to the other's."""
    nearest = np.linalg.norm(samples[:, np.newaxis] - CENTRES, axis=2).argmin(axis=1)
    return float((nearest == label).mean())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"objective": "relativistic", "discriminator_steps": 2},
        {"objective": "wasserstein", "interpolation_penalty": 1.0, "gamma": 0.0, "steps": 2500},
        {"objective": "hinge", "spectral_normalization": True, "gamma": 0.0},
        {"batch": "full", "micro_batch_size": 512, "steps": 300},
    ],
    ids=str,
)
def test_samples_of_a_class_lie_near_the_examples_of_that_class(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    exported = trained(tmp_path, **settings)
    for label in (0, 1):
        samples = of_class(exported, label)
        assert share_near(samples, label) > 0.97
        assert np.abs(samples.mean(axis=0) - CENTRES[label]).max() < 0.4
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected a label from 0 to 1"):
        of_class(exported, 2)


def test_a_refined_mixture_starts_in_the_class_and_stays_there(tmp_path: Path) -> None:
    mixture = mixtures.fit_class_mixtures(*blobs(), components=4, seed=0)
    exported = trained(tmp_path, mixture, space="latent", prior="mixture", steps=200)
    for label in (0, 1):
        assert share_near(of_class(exported, label), label) == 1.0


def test_labels_are_drawn_as_often_as_the_training_data_holds_them(tmp_path: Path) -> None:
    mixture = mixtures.fit_class_mixtures(*blobs(0.2), components=5, seed=0)
    frequencies = latent.frequencies(blobs(0.2)[1])
    sampler = export.Sampler(None, mixture, 4, None, AS_IT_IS, (2,), frequencies)
    exported = export.GeneratorExport(sampler)
    samples = exported.sample(tf.constant(5000), tf.constant(5)).numpy()
    assert share_near(samples, 1) == pytest.approx(frequencies[1], abs=0.02)
    assert np.array_equal(exported.sample(tf.constant(300), tf.constant(5)), samples[:300])


def test_each_class_has_its_share_of_the_components_and_no_others() -> None:
    mixture = mixtures.fit_class_mixtures(*blobs(0.2), components=10, seed=0)
    assert np.isfinite(mixture.log_weights).sum(axis=1).tolist() == [8, 2]
    assert np.exp(mixture.log_weights).sum(axis=1) == pytest.approx([1, 1])
    for label, row in enumerate(mixture.log_weights):
        assert share_near(mixture.means[np.isfinite(row)], label) == 1.0
    rare = mixtures.fit_class_mixtures(*blobs(0.02), components=3, seed=0)
    assert np.isfinite(rare.log_weights).sum(axis=1).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("network", "shape", "spectral"),
    [
        ("dense", (7,), False),
        ("dense", (7,), True),
        ("conv", (8, 8, 1), False),
        ("conv", (8, 8, 1), True),
        ("recurrent", (6, 3), False),
    ],
)
def test_conditional_networks_of_built_in_layers_heed_the_class(
    network: str, shape: Any, spectral: bool
) -> None:
    built_of = Architecture.model_validate({"network": network, "hidden": [8, 6]})
    noise, classes = np.ones((3, 4), np.float32), np.eye(3, dtype=np.float32)
    generator = networks.generator(built_of, shape, 4, "linear", 1, classes=3)
    examples = generator([noise, classes])
    assert examples.shape == (3, *shape)
    same = np.repeat(examples.numpy()[:1], 3, axis=0)
    judge = networks.discriminator(built_of, shape, 2, spectral=spectral, classes=3)
    for found in (examples.numpy().reshape(3, -1), judge([same, classes]).numpy()):
        assert len(np.unique(found, axis=0)) == 3
    for layer in (*generator.layers, *judge.layers):
        assert type(layer).__module__.startswith("keras.src.layers")
        assert not isinstance(layer, keras.layers.Lambda)
    again = networks.discriminator(built_of, shape, 2, spectral=spectral, classes=3)
    for one, other in zip(judge.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("conv", {"gamma": 1.0, "augment": ["color", "translation", "cutout"]}),
        ("conv", {"batch": "full", "micro_batch_size": 100}),
        ("recurrent", {"gamma": 0.1, "discriminator_steps": 2}),
        ("recurrent", {"cell": "lstm", "interpolation_penalty": 1.0}),
    ],
)
def test_conditional_gans_of_every_network_train(
    network: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    shape, kind = {"conv": ((8, 8, 1), "image"), "recurrent": ((6, 3), "sequence")}[network]
    random = np.random.default_rng(0)
    examples = random.random((250, *shape), np.float32)
    labels = random.integers(0, 3, 250).astype(np.int32)
    section = {"space": "data", "conditional": True, "network": network, "hidden": [8, 6]}
    section |= {"steps": 6, "batch_size": 50} | settings
    config = validate(tiny(gan=section, data={"source": "x", "kind": kind}), "test")
    learner = gan.GanLearner(config, shape, None, frequencies=latent.frequencies(labels))
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    history = training.train(learner, (examples, labels), gan.plan(config), checkpoints)
    assert all(np.isfinite(list(record.values())).all() for record in history)
    assert learner.preview().shape == (64, *shape)


def labelled(place: Path, labels: Any = None) -> dict[str, Any]:
    """A configuration of bright (label 30) and dark (label 10) images on disk."""
    random = np.random.default_rng(0)
    bright = random.random(400) < 0.25
    images = random.integers(0, 60, (400, 6, 6)) + 150 * bright[:, np.newaxis, np.newaxis]
    labels = np.where(bright, 30, 10) if labels is None else labels
    arrays = {} if len(labels) == 0 else {"y": labels}
    np.savez(place / "data.npz", x=images.astype(np.uint8), **arrays)
    data = {"source": str(place / "data.npz"), "kind": "image", "test_fraction": 0.2}
    return tiny(data=data, gan={"conditional": True}, autoencoder={"steps": 300})


@pytest.fixture(scope="module", params=["latent", "data", "variational"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A conditional model, published."""
    place = tmp_path_factory.mktemp(request.param)
    tree = labelled(place)
    if request.param == "data":
        tree["gan"] |= {"space": "data", "steps": 600, "learning_rate": 1e-3, "ema_decay": 0.99}
    if request.param == "variational":
        tree["autoencoder"] |= {"kind": "variational", "beta": 0.001}
    stages = make_stages(tree, str(place / "root"))
    uris = [stages[s].uri for s in ("normalize", "train_autoencoder", "train_gan", "evaluate")]
    publish.run(stages["config"], str(place / "root"), *uris)
    return f"{place}/root/models/tiny@champion"


def test_a_published_model_samples_the_classes_of_its_data(reference: str) -> None:
    model = aegan.load(reference)
    assert model.classes == [10, 30]
    dark, bright = (model.sample(100, seed=1, label=label) for label in (10, np.int64(30)))
    assert (dark.mean(axis=(1, 2, 3)) < 100).mean() > 0.95
    assert (bright.mean(axis=(1, 2, 3)) > 100).mean() > 0.95
    assert np.array_equal(dark[:30], model.sample(30, seed=1, label=10))
    mixed = model.sample(600, seed=1).mean(axis=(1, 2, 3)) > 100
    assert mixed.mean() == pytest.approx(0.25, abs=0.08)
    for unknown in (11, "10", 1.5, True):
        with pytest.raises(DataError, match=f"the label is {unknown!r}: expected one of 10, 30"):
            model.sample(3, seed=1, label=unknown)


def test_the_command_draws_samples_of_a_class(reference: str, tmp_path: Path) -> None:
    out = tmp_path / "bright.npz"
    command = ["sample", reference, "-n", "20", "--seed", "7", "-o", str(out), "--label"]
    done = CliRunner().invoke(main, [*command, "30"])
    assert done.exit_code == 0, done.output
    with np.load(out) as found:
        expected = aegan.load(reference).sample(20, seed=7, label=30)
        assert np.array_equal(found["samples"], expected)
        assert int(found["label"]) == 30
    done = CliRunner().invoke(main, [*command, "31"])
    assert done.exit_code == 1
    assert "the label is 31: expected one of 10, 30" in done.output


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "needs labels and the train, validation, test split has none"),
        (np.full(400, 7), "at least two classes, and all labels are 7"),
        (np.arange(400) // 397, r"at least 5 training rows of each class; too few of 1 \("),
    ],
)
def test_data_without_classes_is_refused_before_anything_is_trained(
    labels: Any, message: str, tmp_path: Path
) -> None:
    tree, root = labelled(tmp_path, labels), str(tmp_path / "root")
    with pytest.raises(DataError, match=message):
        normalize.run(validate(tree, "test").to_json(), root, "run")
    tree["gan"] |= {"conditional": False}
    normalize.run(validate(tree, "test").to_json(), root, "run")
    tree["gan"] |= {"conditional": True}  # the dataset is there now, and would be reused
    with pytest.raises(DataError, match=message):
        normalize.run(validate(tree, "test").to_json(), root, "run")
