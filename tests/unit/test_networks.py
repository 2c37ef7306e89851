"""Conformance of every network and every objective."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from aegan import gan, latent, mixtures, networks, objectives, training
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.batches import batch_indices
from aegan.checkpoints import Checkpoints
from aegan.config import Config
from aegan.config_file import validate
from aegan.config_training import Architecture
from aegan.errors import TrainingError
from aegan.objectives import ADVERSARIAL, gradient_penalty
from aegan.plans import use_xla
from aegan.store import open_store
from tests.conftest import tiny

SHAPES = [
    ("dense", (7,)),
    ("dense", (9, 5, 1)),
    ("dense", (6, 3)),
    ("conv", (8, 8, 1)),
    ("conv", (28, 28, 1)),
    ("conv", (13, 10, 3)),
    ("recurrent", (6, 3)),
    ("recurrent", (70, 1)),
]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"normalization": "batch"},
    {"normalization": "layer", "dropout": 0.2},
    {"normalization": "group"},
    {"resampling": "bilinear"},
    {"cell": "lstm"},
]


def architecture(network: str, **settings: Any) -> Architecture:
    return Architecture.model_validate({"network": network, "hidden": [8, 6]} | settings)


def parameters(model: Any) -> list[Any]:
    return [weight.tolist() for weight in model.get_weights()]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(("network", "shape"), SHAPES)
def test_decoders_return_the_shape_that_encoders_take(
    network: str, shape: Any, variant: dict[str, Any]
) -> None:
    built_of = architecture(network, **variant)
    encoder, _ = networks.encoders(built_of, shape, 5, "linear", seed=1)
    decoder = networks.decoder(built_of, shape, 5, "sigmoid", seed=2)
    examples = np.random.default_rng(0).random((3, *shape), np.float32)
    codes = encoder(examples)
    assert codes.shape == (3, 5)
    rebuilt = decoder(codes).numpy()
    assert rebuilt.shape == examples.shape
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 1


@pytest.mark.parametrize(
    ("network", "shape", "spectral"),
    [(*of, False) for of in SHAPES] + [(*of, True) for of in SHAPES if of[0] != "recurrent"],
)
def test_generators_make_what_discriminators_take(network: str, shape: Any, spectral: bool) -> None:
    generator = networks.generator(architecture(network), shape, 4, "linear", seed=1)
    discriminator = networks.discriminator(architecture(network), shape, 2, spectral=spectral)
    assert discriminator(generator(np.ones((3, 4), np.float32))).shape == (3, 1)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(("network", "shape"), SHAPES)
def test_networks_are_a_function_of_the_seed_and_of_built_in_layers(
    network: str, shape: Any, variant: dict[str, Any]
) -> None:
    built_of = architecture(network, **variant)

    def build(seed: int) -> list[Any]:
        return [
            networks.encoders(built_of, shape, 5, "linear", seed)[1],
            networks.decoder(built_of, shape, 5, "sigmoid", seed),
            networks.generator(built_of, shape, 4, "linear", seed),
            networks.discriminator(built_of, shape, seed, spectral=network != "recurrent"),
        ]

    for first, same, other in zip(build(1), build(1), build(2), strict=True):
        assert parameters(first) == parameters(same)
        assert parameters(first) != parameters(other)
        for layer in first.layers:
            assert type(layer).__module__.startswith("keras.src.layers")
            assert not isinstance(layer, keras.layers.Lambda)


def test_networks_without_hidden_layers_are_one_matrix() -> None:
    """The article's: 784 → 64 → 784, 64 → 784 and 784 → 1."""
    built_of = architecture("dense", hidden=[])
    encoder, _ = networks.encoders(built_of, (784,), 64, "relu", seed=1)
    decoder = networks.decoder(built_of, (784,), 64, "sigmoid", seed=1)
    generator = networks.generator(built_of, (784,), 64, "sigmoid", seed=1)
    discriminator = networks.discriminator(built_of, (784,), seed=1)
    sizes = [784 * 64 + 64, 64 * 784 + 784, 64 * 784 + 784, 784 + 1]
    models = (encoder, decoder, generator, discriminator)
    assert [model.count_params() for model in models] == sizes
    assert encoder(np.random.default_rng(0).normal(size=(9, 784))).numpy().min() == 0


def test_a_spectral_discriminator_is_bounded_in_its_slope() -> None:
    network = networks.discriminator(architecture("dense"), (7,), 1, spectral=True)
    x = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32)
    for _ in range(30):  # each use in training is one step of the power iteration
        network(x, training=True)
    logits = network(x).numpy()[:, 0]
    slopes = np.abs(np.diff(logits)) / np.linalg.norm(np.diff(x, axis=0), axis=1)
    assert 0 < slopes.max() <= 1.05


def test_dropout_depends_on_the_seed_alone() -> None:
    network, _ = networks.encoders(architecture("dense", dropout=0.5), (7,), 5, "linear", seed=1)
    x = np.ones((4, 7), np.float32)

    def drawn(seed: int) -> Any:
        networks.reseed_dropout([network], tf.constant([seed, 0]))
        return network(x, training=True).numpy()

    first, other, again = drawn(1), drawn(2), drawn(1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_layer_draws_what_another_drew_before() -> None:
    inputs = keras.Input((50,))
    first, second = keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)
    outputs = keras.layers.Concatenate()([first(inputs), second(inputs)])
    network = keras.Model(inputs, outputs)
    networks.reseed_dropout([network], tf.constant([1, 0]))
    drawn = [network(np.ones((4, 50), np.float32), training=True).numpy() for _ in range(3)]
    masks = [half.tobytes() for masks in drawn for half in np.split(masks, 2, axis=1)]
    assert len(set(masks)) == 6


def test_a_refiner_starts_as_the_identity_on_the_mixture() -> None:
    refiner = networks.refiner(architecture("dense", hidden=[16, 16]), 6, 3, seed=0)
    start = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    assert np.array_equal(refiner([start, np.ones((5, 3), np.float32)]), start)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_flat_discriminator_rates_all_the_same_and_learns_what_to_go_by(classes: int) -> None:
    network = networks.discriminator(architecture("dense"), (7,), 1, flat=True, classes=classes)
    random = np.random.default_rng(0)
    inputs: Any = random.normal(size=(30, 7)).astype(np.float32)
    signs = random.normal(size=(30, 1)).astype(np.float32)
    if classes:
        inputs = [inputs, np.eye(3, dtype=np.float32)[np.arange(30) % 3]]
    assert not network(inputs).numpy().any()
    sizes = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.softplus(network(inputs)) * signs)
        values = [variable.value for variable in network.trainable_variables]
        gradients = tape.gradient(loss, values)
        sizes.append([float(tf.norm(gradient)) for gradient in gradients])
        for value, gradient in zip(values, gradients, strict=True):
            value.assign_sub(gradient)
    assert all(sizes[0][-3 if classes else -2 :])  # of the last layer's, and of the classes'
    assert all(sizes[1])


def test_classifiers_are_a_function_of_the_seed() -> None:
    first, same, other = (networks.classifier("conv", (8, 8, 1), 3, 16, s) for s in (1, 1, 2))
    assert parameters(first) == parameters(same)
    assert parameters(first) != parameters(other)


@pytest.mark.parametrize("objective", sorted(ADVERSARIAL))
def test_objectives_reward_what_they_should(objective: str) -> None:
    good, bad = tf.constant([[3.0]]), tf.constant([[-3.0]])
    value = ADVERSARIAL[objective]
    # The discriminator's loss is lower when it tells real from fake, the generator's when fooled.
    assert value(good, bad)[0] < value(bad, good)[0]
    assert value(bad, good)[1] < value(good, bad)[1]


def test_minimax_is_the_articles_equation() -> None:
    real, fake = tf.constant([[0.3], [-1.0]]), tf.constant([[0.7], [2.0]])
    d_real, d_fake = tf.sigmoid(real), tf.sigmoid(fake)
    discriminator, generator = ADVERSARIAL["minimax"](real, fake)
    expected = -tf.reduce_mean(tf.math.log(d_real)) - tf.reduce_mean(tf.math.log(1 - d_fake))
    assert np.isclose(tf.reduce_mean(discriminator), expected, rtol=1e-5)
    expected = tf.reduce_mean(tf.math.log(1 - d_fake))
    assert np.isclose(tf.reduce_mean(generator), expected, rtol=1e-5)


def test_penalties_are_of_the_norm_of_each_samples_gradient() -> None:
    gradient = tf.constant([[3.0, 4.0], [0.0, 1.0]])
    assert gradient_penalty(gradient).numpy().tolist() == [25, 1]
    assert objectives.slope_penalty(gradient).numpy() == pytest.approx([16, 0])


def two_blobs(count: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(0)
    centres = np.array([[-1.5, 0.5], [1.5, -0.5]], np.float32)
    return (centres[random.integers(0, 2, count)] + 0.1 * random.normal(size=(count, 2))).astype(
        np.float32
    )


def train_gan(config: Config, examples: Any, mixture: Any, tmp_path: Any) -> tuple[Any, Any]:
    learner = gan.GanLearner(config, examples.shape[1:], mixture)
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_gan")
    return learner, training.train(learner, examples, gan.plan(config), checkpoints)


def distance_to_blobs(learner: Any, mixture: Any, config: Config) -> float:
    noise = gan.draw_noise(mixture, config.gan.noise_size, 500, tf.constant([9, 9]))
    samples = learner.average(noise).numpy()
    centres = np.array([[-1.5, 0.5], [1.5, -0.5]])
    return float(np.linalg.norm(samples[:, np.newaxis] - centres, axis=2).min(axis=1).mean())


@pytest.mark.parametrize("objective", sorted(ADVERSARIAL))
def test_every_objective_pulls_normal_noise_to_the_data(objective: str, tmp_path: Any) -> None:
    steps = {"least_squares": 3000, "wasserstein": 3000}.get(objective, 1500)  # these are slower
    settings = {"prior": "normal", "objective": objective, "hidden": [64, 64], "steps": steps}
    settings |= {"batch_size": 128, "learning_rate": 1e-3, "ema_decay": 0.99, "gamma": 0.1}
    config = validate(tiny(gan=settings), "test")
    learner = gan.GanLearner(config, (2,), None)
    before = distance_to_blobs(learner, None, config)
    learner, history = train_gan(config, two_blobs(2000), None, tmp_path)
    assert all(np.isfinite(list(record.values())).all() for record in history)
    assert distance_to_blobs(learner, None, config) < before / 3


def test_a_refined_mixture_ends_nearer_to_the_data_than_it_started(tmp_path: Any) -> None:
    examples = two_blobs(2000)
    mixture = mixtures.fit_mixture(examples, 1, seed=0)  # one Gaussian across two blobs: too wide
    settings = {"hidden": [64, 64], "steps": 1500, "batch_size": 128, "learning_rate": 1e-3}
    config = validate(tiny(gan=settings | {"gamma": 0.1, "ema_decay": 0.99}), "test")
    before = distance_to_blobs(gan.GanLearner(config, (2,), mixture), mixture, config)
    learner, _ = train_gan(config, examples, mixture, tmp_path)
    assert distance_to_blobs(learner, mixture, config) < before / 3


GANS: list[dict[str, Any]] = [
    {"network": "dense"},
    {"network": "conv"},
    {"network": "conv", "resampling": "bilinear", "normalization": "batch"},
    {"network": "conv", "objective": "relativistic", "gamma": 1.0},
    {"network": "conv", "objective": "wasserstein", "discriminator_normalization": "layer"},
    {"objective": "hinge", "spectral_normalization": True, "discriminator_steps": 3},
    {"objective": "relativistic", "gamma": 0.1, "generator_steps": 3, "dropout": 0.1},
    {"discriminator_dropout": 0.3, "dropout": 0.1, "discriminator_learning_rate": 4e-4},
    {"discriminator_normalization": "batch", "clip": "global_norm", "warmup_steps": 10},
    {"network": "recurrent", "objective": "relativistic", "gamma": 0.1},
    {"network": "recurrent", "cell": "lstm", "objective": "least_squares"},
]


@pytest.mark.parametrize("settings", GANS, ids=str)
def test_gans_on_the_data_itself_train_to_finite_losses(
    settings: dict[str, Any], tmp_path: Any
) -> None:
    from sklearn.datasets import load_digits

    examples = (load_digits().images / 16).astype(np.float32)
    kind = "sequence" if settings.get("network") == "recurrent" else "image"
    examples = examples if kind == "sequence" else examples[..., np.newaxis]
    settings = {"space": "data", "hidden": [16, 8], "steps": 60} | settings
    config = validate(tiny(gan=settings, data={"source": "x", "kind": kind}), "test")
    learner, history = train_gan(config, examples, None, tmp_path)
    assert all(np.isfinite(list(record.values())).all() for record in history)
    drawn = learner.average(gan.draw_noise(None, config.gan.noise_size, 4, tf.constant([1, 1])))
    assert drawn.shape == (4, *examples.shape[1:])


def test_the_average_forgets_the_first_steps_soon_and_others_as_slowly_as_asked() -> None:
    config = validate(tiny(gan={"hidden": [8], "learning_rate": 1e-2, "ema_decay": 0.15}), "test")
    learner, batch = gan.GanLearner(config, (2,), None), tf.constant(two_blobs(64))
    expected = learner.average.get_weights()
    for step, decay in enumerate([1 / 10, 0.15, 0.15]):  # (1 + step) / (10 + step) at most
        learner.update(batch, tf.constant(step))
        now = learner._generator.get_weights()
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, now, strict=True)]
        for found, wanted in zip(learner.average.get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_a_step_of_several_discriminator_steps_takes_as_many_batches() -> None:
    config = validate(tiny(gan={"discriminator_steps": 3, "batch_size": 50}), "test")
    assert gan.plan(config).batch_size == 150


def test_each_discriminator_step_learns_from_its_own_part_of_the_batch() -> None:
    settings = {"space": "data", "hidden": [8], "discriminator_steps": 3, "batch_size": 50}
    config, batch = validate(tiny(gan=settings), "test"), two_blobs(150)

    def trained_on(examples: Any) -> list[Any]:
        learner = gan.GanLearner(config, (2,), None)
        learner.update(tf.constant(examples), tf.constant(0))
        return list(learner.discriminator.get_weights())

    whole = trained_on(batch)
    assert all(np.array_equal(a, b) for a, b in zip(whole, trained_on(batch), strict=True))
    for start in (0, 50, 100):
        changed = batch.copy()
        changed[start : start + 50] += 1
        assert not np.array_equal(whole[0], trained_on(changed)[0])


@pytest.mark.parametrize(("discriminator", "generator"), [(1, 1), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("batch", ["mini", "full"])
def test_each_network_makes_as_many_updates_as_the_ratio_says(
    batch: str, discriminator: int, generator: int, tmp_path: Any
) -> None:
    steps = {"discriminator_steps": discriminator, "generator_steps": generator, "steps": 4}
    sizes = {"hidden": [8], "batch_size": 50, "micro_batch_size": 50, "validate_every": 2}
    config = validate(tiny(gan={"space": "data", "batch": batch} | steps | sizes), "test")
    learner, _ = train_gan(config, two_blobs(200), None, tmp_path)
    updates = [int(descent.updates) for descent in learner._descents]
    assert updates == [4 * discriminator, 4 * generator]


def test_further_generator_steps_go_on_from_the_first_with_noise_of_their_own() -> None:
    def trained(count: int) -> list[Any]:
        settings = {"space": "data", "hidden": [8], "batch_size": 50, "learning_rate": 1e-2}
        sgd = {"optimizer": "sgd", "schedule": "constant", "generator_steps": count}
        learner = gan.GanLearner(validate(tiny(gan=settings | sgd), "test"), (2,), None)
        start = learner._generator.get_weights()
        learner.update(tf.constant(two_blobs(50)), tf.constant(0))
        ends = (learner.discriminator.get_weights(), learner._generator.get_weights())
        return [start, *ends]

    start, rated, once = trained(1)
    _, same, twice = trained(2)
    assert all(np.array_equal(a, b) for a, b in zip(rated, same, strict=True))
    # The same noise would take about the same step again.
    first, second = (
        np.concatenate([np.ravel(b - a) for a, b in zip(*pair, strict=True)])
        for pair in ((start, once), (once, twice))
    )
    assert np.linalg.norm(second) > 0.1 * np.linalg.norm(first)
    assert np.linalg.norm(second - first) > 0.02 * np.linalg.norm(first)


KINDS: list[dict[str, Any]] = [
    {},
    {"kind": "denoising"},
    {"kind": "denoising", "noise": "masking"},
    {"kind": "variational", "beta": 0.001},
    {"kind": "variational", "beta": 0.001, "free_bits": 0.1},
    {"sparsity": 0.001},
    {"contraction": 0.001},
    {"kind": "variational", "beta": 0.001, "contraction": 0.001, "sparsity": 0.001},
    {"normalization": "layer", "dropout": 0.1},
    {"texture": 1.0},
    {"error": "absolute"},
    {"error": "absolute", "kind": "variational", "beta": 0.001},
]


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        (kind, network)
        for kind in KINDS
        for network in ("dense", "conv", "recurrent")
        if not ("texture" in kind and network == "recurrent")  # of images alone
    ],
    ids=str,
)
def test_every_kind_of_autoencoder_learns(
    kind: dict[str, Any], network: str, tmp_path: Any
) -> None:
    examples = np.random.default_rng(0).random((256, 8, 8, 1), np.float32)
    examples[:, 4:] = examples[:, :4]  # half of it is redundant
    data = {"source": "x", "kind": "image"}
    if network == "recurrent":
        examples, data = examples[..., 0], {"source": "x", "kind": "sequence"}
    section = {"network": network, "hidden": [16, 8], "steps": 90, "validate_every": 30} | kind
    config = validate(tiny(autoencoder=section, data=data), "test")
    learner = AutoencoderLearner(config, examples.shape[1:], examples[:64])
    before = learner.validate()
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    history = training.train(learner, examples, plan(config), checkpoints)
    assert learner.validate() == pytest.approx(min(r["validation_loss"] for r in history))
    assert learner.validate() < before
    assert learner.decoder(learner.encoder(examples[:3])).shape == (3, *examples.shape[1:])


@pytest.mark.parametrize("kind", [{"kind": "variational"}, {"kind": "denoising", "dropout": 0.2}])
def test_noise_of_a_step_depends_on_the_seed_and_the_step_alone(kind: dict[str, Any]) -> None:
    examples = np.random.default_rng(0).random((64, 8, 8, 1), np.float32)
    config = validate(tiny(autoencoder=kind), "test")

    def losses(steps: list[int]) -> list[float]:
        learner = AutoencoderLearner(config, examples.shape[1:], examples)
        weights = [weight.numpy() for weight in learner.state()]
        found = []
        for step in steps:
            for variable, weight in zip(learner.state(), weights, strict=True):
                variable.assign(weight)
            found.append(float(learner.update(tf.constant(examples), tf.constant(step))["loss"]))
        return found

    first, second, third = losses([0, 1, 0])
    assert first == third
    assert first != second
    assert losses([1]) == [second]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_all_that_a_checkpoint_holds_is_a_function_of_the_seed(cell: str) -> None:
    section = {"network": "recurrent", "hidden": [6], "cell": cell, "dropout": 0.1}
    config = validate(tiny(autoencoder=section, data={"source": "x", "kind": "sequence"}), "test")
    first, second = (
        AutoencoderLearner(config, (5, 2), np.zeros((9, 5, 2), np.float32)) for _ in range(2)
    )
    for one, other in zip(first.state(), second.state(), strict=True):
        assert np.array_equal(one.numpy(), other.numpy()), one.name


def test_the_contraction_is_the_squared_norm_of_the_jacobian() -> None:
    examples = np.random.default_rng(0).random((32, 5), np.float32)
    data = {"source": "x", "kind": "tabular"}
    config = validate(tiny(autoencoder={"contraction": 5.0, "latent_size": 3}, data=data), "test")
    learner = AutoencoderLearner(config, (5,), examples)
    with tf.GradientTape() as tape:
        x = tf.constant(examples)
        tape.watch(x)
        codes = learner.encoder(x)
    jacobian = tape.batch_jacobian(codes, x)
    expected = float(tf.reduce_mean(tf.reduce_sum(tf.square(jacobian), axis=(1, 2))))
    estimates = [learner._losses(x, tf.constant([7, i]))["contraction"] for i in range(400)]
    assert np.mean(estimates) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("error", "expected"), [("squared", 0.3), ("absolute", 0.0)])
def test_squared_errors_ask_for_the_mean_and_absolute_ones_for_the_median(
    error: str, expected: float, tmp_path: Any
) -> None:
    values = np.random.default_rng(0).random((4000, 20)) < 0.3
    values = values.astype(np.float32)
    section = {"error": error, "hidden": [], "latent_size": 1, "steps": 400, "learning_rate": 0.1}
    data = {"source": "x", "kind": "tabular"}
    config = validate(tiny(autoencoder=section | {"batch_size": 200}, data=data), "test")
    learner = AutoencoderLearner(config, (20,), values[:500])
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    training.train(learner, values, plan(config), checkpoints)
    rebuilt = learner.decoder(learner.encoder(values)).numpy()
    # A code of one number can tell one column; the others are what they are without knowing anything.
    assert np.median(rebuilt.mean(axis=0)) == pytest.approx(expected, abs=0.03)
    found = np.abs(values - rebuilt) if error == "absolute" else np.square(values - rebuilt)
    assert learner.validate() == pytest.approx(found[:500].mean(), rel=1e-5)


@pytest.mark.parametrize(("error", "nats_to_error"), [("squared", 2.0), ("absolute", 1.0)])
def test_beta_of_one_is_the_bound_on_the_likelihood(error: str, nats_to_error: float) -> None:
    section = {"kind": "variational", "beta": 1.0, "error": error}
    config = validate(tiny(autoencoder=section, data={"source": "x", "kind": "tabular"}), "test")
    examples = tf.random.stateless_normal([16, 5], [1, 2])
    learner = AutoencoderLearner(config, (5,), examples.numpy())
    codes, log_variance = learner._parted(learner._encoder(examples))
    nats = tf.reduce_sum(objectives.divergence(codes, log_variance), axis=1)
    found = learner._losses(examples, tf.constant([7, 1]))["divergence"]
    # Of an example, -log p is half the sum of its squared errors (normal), or that of the absolute ones.
    np.testing.assert_allclose(found * 5 / nats_to_error, nats, rtol=1e-5)


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, log_variance = tf.constant([[0.0, 1.5]]), tf.constant([[0.0, -1.0]])
    found = objectives.divergence(mean, log_variance).numpy()
    deviation = np.exp(-0.5)
    expected = -np.log(deviation) + (deviation**2 + 1.5**2) / 2 - 0.5
    assert found.tolist() == [[0.0, pytest.approx(expected, rel=1e-6)]]


@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize("method", ["minmax", "standard"])
def test_autoencoders_learn(network: str, method: str, tmp_path: Any) -> None:
    images = np.random.default_rng(0).random((256, 8, 8, 1), np.float32)
    images[:, 4:] = images[:, :4]  # half of it is redundant
    section = {"network": network, "hidden": [16, 8], "steps": 120, "validate_every": 40}
    config = validate(tiny(autoencoder=section, normalize={"method": method}), "test")
    learner = AutoencoderLearner(config, images.shape[1:], images[:64])
    before = learner.validate()
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    history = training.train(learner, images, plan(config), checkpoints)
    assert [record["step"] for record in history] == [40, 80, 120]
    assert learner.validate() == pytest.approx(min(r["validation_loss"] for r in history))
    assert learner.validate() < before


class Exploding(AutoencoderLearner):
    """Loses its mind at step 37."""

    def gradients(self, phase: int, batch: Any, step: Any, part: Any) -> Any:
        gradients, losses = super().gradients(phase, batch, step, part)
        return gradients, losses | {"loss": tf.where(step == 37, float("nan"), losses["loss"])}


def test_a_loss_that_is_no_number_stops_training_and_names_the_step(tmp_path: Any) -> None:
    images = np.random.default_rng(0).random((256, 8, 8, 1), np.float32)
    section = {"steps": 100, "validate_every": 10, "checkpoint_seconds": 1e-6}
    config = validate(tiny(autoencoder=section), "test")
    learner = Exploding(config, images.shape[1:], images[:64])
    store = open_store(str(tmp_path))
    checkpoints = Checkpoints(store, "checkpoints", "train_autoencoder")
    with pytest.raises(TrainingError, match=r"no longer finite at step 37; .*learning_rate"):
        training.train(learner, images, plan(config), checkpoints)
    kept = {name.split("/")[1].split("-")[1] for name in store.list("checkpoints")}
    assert len(kept) == 1
    assert 30 <= int(kept.pop()) <= 36


def test_training_stops_early_and_keeps_the_best_weights(tmp_path: Any) -> None:
    random = np.random.default_rng(0)
    images, validation = random.random((64, 8, 8, 1), np.float32), random.random((64, 8, 8, 1))
    section = {"steps": 5000, "validate_every": 20, "patience": 3, "latent_size": 32}
    config = validate(tiny(autoencoder=section), "test")  # random noise: it can only overfit
    learner = AutoencoderLearner(config, (8, 8, 1), validation.astype(np.float32))
    checkpoints = Checkpoints(open_store(str(tmp_path)), "checkpoints", "train_autoencoder")
    history = training.train(learner, images, plan(config), checkpoints)
    losses = [record["validation_loss"] for record in history]
    assert len(losses) < 250
    assert int(np.argmin(losses)) == len(losses) - 4
    assert learner.validate() == pytest.approx(min(losses))


def test_every_epoch_takes_every_example_once() -> None:
    indices = batch_indices(seed=1, num_examples=10, batch_size=4, first=0, count=5)
    assert sorted(indices.ravel()[:10].tolist()) == list(range(10))
    assert sorted(indices.ravel()[10:].tolist()) == list(range(10))
    assert indices.ravel()[:10].tolist() != indices.ravel()[10:].tolist()


def test_batches_do_not_depend_on_how_they_are_asked_for() -> None:
    whole = batch_indices(3, 17, 5, 0, 30)
    parts = [batch_indices(3, 17, 5, first, 3) for first in range(0, 30, 3)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, batch_indices(4, 17, 5, 0, 30))


def test_xla_is_for_dense_and_short_recurrent_networks_on_a_cpu() -> None:
    assert use_xla("auto", "dense")
    assert use_xla("auto", "recurrent", 24)
    assert not use_xla("auto", "recurrent", 48)
    assert not use_xla("auto", "recurrent")
    assert not use_xla("graph", "recurrent", 24)
    assert not use_xla("auto", "conv")
    assert use_xla("xla", "conv")
    assert not use_xla("graph", "dense")


def test_whitened_codes_have_unit_covariance_and_come_back() -> None:
    random = np.random.default_rng(0)
    codes = (random.normal(size=(5000, 4)) @ random.normal(size=(4, 4)) + 3).astype(np.float32)
    whitening = latent.fit_whitening(codes)
    whitened = whitening.apply(codes)
    assert np.allclose(np.cov(whitened, rowvar=False), np.eye(4), atol=1e-3)
    assert np.allclose(whitened @ whitening.inverse + whitening.mean, codes, atol=1e-4)


def test_a_dead_code_does_not_blow_up() -> None:
    codes = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    codes[:, 1] = 0.25
    whitening = latent.fit_whitening(codes)
    whitened = whitening.apply(codes)
    assert np.isfinite(whitened).all()
    assert np.allclose(whitened @ whitening.inverse + whitening.mean, codes, atol=1e-3)


def test_a_mixture_samples_what_it_was_fitted_to() -> None:
    examples = two_blobs(4000)
    mixture = mixtures.fit_mixture(examples, 2, seed=0)
    drawn = latent.sample_mixture(mixture, 4000, tf.constant([1, 2])).numpy()
    left, right = drawn[drawn[:, 0] < 0], drawn[drawn[:, 0] >= 0]
    assert 0.45 < len(left) / 4000 < 0.55
    assert np.allclose(left.mean(axis=0), [-1.5, 0.5], atol=0.02)
    assert np.allclose(right.std(axis=0), 0.1, atol=0.02)
    again = latent.sample_mixture(mixture, 4000, tf.constant([1, 2])).numpy()
    assert np.array_equal(drawn, again)
