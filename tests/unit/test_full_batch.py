"""Full batches: exact against float64, the same bits however the work is shared, flat in memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from aegan import gan, training
from aegan.autoencoder import AutoencoderLearner, plan
from aegan.checkpoints import Checkpoints
from aegan.config import Config
from aegan.config_file import validate
from aegan.errors import ConfigError
from aegan.full_batch import FullBatch
from aegan.game import Batch
from aegan.store import open_store
from tests.conftest import tiny

FULL = {"batch": "full", "micro_batch_size": 64}


def examples(rows: int, width: int = 12) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).random((rows, width), np.float32)


def autoencoder_config(**section: Any) -> Config:
    data = {"source": "x", "kind": "tabular"}
    return validate(tiny(autoencoder=FULL | section, data=data), "test")


class Probe:
    """Records the mean gradients that a full batch gives, in place of descending by them."""

    def __init__(self, learner: Any, *trained: list[Any]):
        """Of a learner, and the variables of each of its phases."""
        self.phases, self.scale, self.gradients = learner.phases, learner.scale, learner.gradients
        self.found = [[tf.Variable(tf.zeros(v.shape)) for v in variables] for variables in trained]

    def apply(self, phase: int, gradients: list[Any], losses: dict[str, Any]) -> dict[str, Any]:
        for variable, gradient in zip(self.found[phase], gradients, strict=True):
            variable.assign(gradient)
        return {}


def float64_reference(learner: AutoencoderLearner, x: np.ndarray[Any, Any]) -> list[Any]:
    """The gradient of a network of one hidden layer, worked out in NumPy's float64."""
    weights = [v.numpy().astype(np.float64) for v in learner._trained]
    w1, b1, wc, bc, w2, b2, w3, b3 = weights
    slope, n = 0.2, x.size
    x = x.astype(np.float64)

    def leaky(a: Any) -> Any:
        return np.where(a > 0, a, slope * a)

    def leaky_slope(a: Any) -> Any:
        return np.where(a > 0, 1.0, slope)

    a1 = x @ w1 + b1
    h1 = leaky(a1)
    code = h1 @ wc + bc
    a2 = code @ w2 + b2
    h2 = leaky(a2)
    out = 1 / (1 + np.exp(-(h2 @ w3 + b3)))
    d3 = 2 * (out - x) / n * out * (1 - out)
    d2 = d3 @ w3.T * leaky_slope(a2)
    dc = d2 @ w2.T
    d1 = dc @ wc.T * leaky_slope(a1)
    return [
        *(x.T @ d1, d1.sum(0), h1.T @ dc, dc.sum(0)),
        *(code.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)),
    ]


@pytest.mark.parametrize("rows", [64, 640, 1000, 1311, 40])
def test_the_gradient_is_the_float64_one_within_float32_rounding(rows: int) -> None:
    x = examples(rows)
    config = autoencoder_config(hidden=[16], latent_size=5)
    learner = AutoencoderLearner(config, (12,), x[:10])
    probe = Probe(learner, learner._trained)
    program = FullBatch(probe, x, plan(config), streamed=False)  # type: ignore[arg-type]
    bad, totals = program.run(0, program.units, [0.0] * len(program.names))
    assert bad == -1
    for found, expected in zip(probe.found[0], float64_reference(learner, x), strict=True):
        error = np.abs(found.numpy() - expected).max() / np.abs(expected).max()
        assert error < 2e-6
    rebuilt = learner.decoder(learner.encoder(x)).numpy().astype(np.float64)
    assert totals[0] == pytest.approx(np.mean((rebuilt - x) ** 2), rel=1e-6)


def float64_layers(weights: list[Any], x: Any) -> Any:
    """What a network of one hidden layer makes of its input."""
    w1, b1, w2, b2 = weights
    return tf.nn.leaky_relu(x @ w1 + b1, 0.2) @ w2 + b2


def float64_gan(learner: gan.GanLearner, x: np.ndarray[Any, Any], phase: int) -> list[Any]:
    """The gradient of the relativistic game with R1 and R2 of weight 0.3, by float64 alone."""
    networks = [learner.discriminator, learner._generator]
    rating, making = (
        [tf.constant(v.numpy(), tf.float64) for v in n.trainable_variables] for n in networks
    )
    noise = []
    for part, start in enumerate(range(0, len(x), 64)):
        batch = Batch(tf.constant(x[start : start + 64]), None)
        draws = learner._draws(tf.constant(0), tf.constant(part))
        noise.append(learner._noise(batch, draws, phase))
    real, drawn = tf.constant(x, tf.float64), tf.cast(tf.concat(noise, 0), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([rating, making])
        fake = tf.sigmoid(float64_layers(making, drawn))
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([real, fake])
            rated, rated_fake = float64_layers(rating, real), float64_layers(rating, fake)
        if phase:
            loss = tf.reduce_mean(tf.nn.softplus(rated - rated_fake))
        else:
            slopes = inner.gradient(rated, real), inner.gradient(rated_fake, fake)
            squares = sum(tf.reduce_sum(tf.square(slope), 1) for slope in slopes)
            loss = tf.reduce_mean(tf.nn.softplus(rated_fake - rated))
            loss += 0.3 / 2 * tf.reduce_mean(squares)
    found: list[Any] = tape.gradient(loss, making if phase else rating)
    return found


@pytest.mark.parametrize("rows", [640, 1000])
def test_a_gans_gradients_are_the_float64_ones_within_float32_rounding(rows: int) -> None:
    section = FULL | GRAPH | {"space": "data", "hidden": [16], "generator_steps": 2}
    section |= {"objective": "relativistic", "gamma": 0.3}
    config = validate(tiny(gan=section, data={"source": "x", "kind": "tabular"}), "test")
    x, learner = examples(rows), gan.GanLearner(config, (12,), None)
    trained = (learner.discriminator, learner._generator, learner._generator)
    probe = Probe(learner, *(network.trainable_variables for network in trained))
    program = FullBatch(probe, x, gan.plan(config), streamed=False)  # type: ignore[arg-type]
    assert program.run(0, program.units, [0.0] * len(program.names))[0] == -1
    for phase, gradients in enumerate(probe.found):
        expected = [gradient.numpy() for gradient in float64_gan(learner, x, phase)]
        # The logit's bias has none: only differences of logits count.
        largest = max(np.abs(gradient).max() for gradient in expected)
        for found, exact in zip(gradients, expected, strict=True):
            assert np.abs(found.numpy() - exact).max() < 2e-6 * largest, phase


def test_the_mean_of_the_micro_batches_means_would_be_wrong() -> None:
    """What the exact sum is for: the last micro-batch is smaller."""
    x = examples(1000)
    x[960:] *= 3
    config = autoencoder_config(hidden=[16], latent_size=5)
    learner = AutoencoderLearner(config, (12,), x[:10])
    parts = [x[i : i + 64] for i in range(0, 1000, 64)]
    means = np.mean([float64_reference(learner, part)[0] for part in parts], axis=0)
    exact = float64_reference(learner, x)[0]
    assert np.abs(means - exact).max() / np.abs(exact).max() > 1e-2


SHARED = """
import hashlib, json, sys
import numpy as np, tensorflow as tf
mode, tree, folder, counts = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4:]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 8)
from aegan import autoencoder, gan, training
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.store import open_store
config = validate(tree, "test")
x = np.random.default_rng(1).random((1311, 12), np.float32)
classes, examples = None, x
if config.gan.conditional:
    classes, examples = np.full(3, 1 / 3, np.float32), (x, np.arange(1311, dtype=np.int32) % 3)
for devices in map(int, counts):
    strategy = tf.distribute.get_strategy()
    if devices > 1:
        strategy = tf.distribute.MirroredStrategy(
            [f"/cpu:{i}" for i in range(devices)],
            tf.distribute.ReductionToOneDevice(),  # the default takes one group in a process
        )
    with strategy.scope():
        if mode == "autoencoder":
            learner = autoencoder.AutoencoderLearner(config, (12,), x[:50])
            plan = autoencoder.plan(config)
        else:
            learner = gan.GanLearner(config, (12,), None, frequencies=classes)
            plan = gan.plan(config)
        checkpoints = Checkpoints(open_store(f"{folder}/root-{devices}"), "c", "train_" + mode)
        training.train(learner, examples, plan, checkpoints)
    np.savez(f"{folder}/{devices}.npz", *[variable.numpy() for variable in learner.state()])
"""

DATA = {"source": "x", "kind": "tabular"}
GRAPH = {"compiler": "graph"}  # XLA draws other noise, and cannot compile for several virtual CPUs
FULL_AUTOENCODER = {
    "data": DATA,
    "autoencoder": FULL
    | GRAPH
    | {"steps": 12, "hidden": [16], "dropout": 0.1, "kind": "denoising"},
}
FULL_GAN = {
    "data": DATA,
    "gan": FULL
    | GRAPH
    | {"space": "data", "steps": 8, "gamma": 0.1, "interpolation_penalty": 1.0, "dropout": 0.1}
    | {"discriminator_steps": 2, "generator_steps": 2},
}
MINI_AUTOENCODER = {
    "data": DATA,
    "autoencoder": GRAPH | {"steps": 20, "hidden": [16], "kind": "denoising", "batch_size": 96},
}
MINI_GAN = {
    "data": DATA,
    "gan": GRAPH
    | {"space": "data", "steps": 10, "batch_size": 48}
    | {"discriminator_steps": 2, "generator_steps": 2}
    | {"objective": "wasserstein"},
}
CONDITIONAL_GAN = MINI_GAN | {"gan": MINI_GAN["gan"] | {"conditional": True}}


def trained(
    mode: str, sections: dict[str, Any], counts: tuple[int, ...], folder: Path
) -> dict[int, Any]:
    """Weights and slots after a training shared by so many virtual devices."""
    command = [sys.executable, "-c", SHARED, mode, json.dumps(tiny(**sections)), str(folder)]
    ran = subprocess.run([*command, *map(str, counts)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = {}
    for count in counts:
        with np.load(folder / f"{count}.npz") as arrays:
            found[count] = list(arrays.values())
    return found


@pytest.mark.parametrize(
    ("mode", "sections"), [("autoencoder", FULL_AUTOENCODER), ("gan", FULL_GAN)]
)
def test_a_full_batch_has_the_same_bits_for_any_number_of_devices(
    mode: str, sections: dict[str, Any], tmp_path: Path
) -> None:
    alone, *shared = trained(mode, sections, (1, 2, 3, 4, 8), tmp_path).values()
    for other in shared:
        assert all(np.array_equal(a, b) for a, b in zip(alone, other, strict=True))


@pytest.mark.parametrize("parts", [1, 7, 8, 9, 15, 16, 17, 20, 63, 64, 65, 500])
def test_there_are_lanes_for_eight_devices_where_there_are_micro_batches_for_them(
    parts: int,
) -> None:
    config = autoencoder_config(hidden=[], micro_batch_size=2)
    learner = AutoencoderLearner(config, (3,), examples(4, 3))
    program = FullBatch(learner, examples(2 * parts, 3), plan(config), streamed=False)
    assert min(parts, 8) <= program.units <= parts


@pytest.mark.parametrize(
    ("mode", "sections"),
    [("autoencoder", MINI_AUTOENCODER), ("gan", MINI_GAN), ("gan", CONDITIONAL_GAN)],
)
def test_mini_batches_agree_for_any_number_of_devices(
    mode: str, sections: dict[str, Any], tmp_path: Path
) -> None:
    alone, *shared = trained(mode, sections, (1, 2, 3), tmp_path).values()
    for other in shared:
        for one, same in zip(alone, other, strict=True):
            np.testing.assert_allclose(same, one, atol=1e-5)


def run(config: Config, x: np.ndarray[Any, Any], root: Path, **changes: Any) -> str:
    from dataclasses import replace

    learner = AutoencoderLearner(config, x.shape[1:], x[:50])
    checkpoints = Checkpoints(open_store(str(root)), "c", "train_autoencoder")
    training.train(learner, x, replace(plan(config), **changes), checkpoints)
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in learner.state())).hexdigest()


@pytest.mark.parametrize("batch", ["mini", "full"])
def test_streamed_examples_give_the_bits_of_resident_ones(batch: str, tmp_path: Path) -> None:
    x = examples(1311)
    config = autoencoder_config(hidden=[16], steps=40, batch=batch, batch_size=64)
    resident, streamed = (
        run(config, x, tmp_path / kind, residency=kind) for kind in ("resident", "streamed")
    )
    assert resident == streamed


def test_lbfgs_needs_few_steps_where_descent_needs_many(tmp_path: Path) -> None:
    x = examples(300, 6) @ examples(6, 12) / 6
    losses = {}
    for optimizer in ("lbfgs", "adam"):
        settings = {"optimizer": optimizer, "schedule": "constant", "learning_rate": 1e-2}
        config = autoencoder_config(
            hidden=[], latent_size=6, steps=150, validate_every=150, **settings
        )
        learner = AutoencoderLearner(config, (12,), x)
        checkpoints = Checkpoints(open_store(str(tmp_path / optimizer)), "c", "train_autoencoder")
        training.train(learner, x, plan(config), checkpoints)
        losses[optimizer] = learner.validate()
    assert losses["lbfgs"] < losses["adam"] / 3, losses


@pytest.mark.parametrize(
    ("sections", "guidance"),
    [
        ({"autoencoder": {"batch": "full", "normalization": "batch"}}, "ghost_statistics: true"),
        ({"gan": {"batch": "full", "discriminator_normalization": "batch", "gamma": 0.0}}, "ghost"),
        ({"gan": {"batch": "full", "spectral_normalization": True}}, "use `gamma` to bound slopes"),
        (
            {"autoencoder": {"batch": "full", "kind": "variational", "free_bits": 0.1}},
            "not over the training set",
        ),
        ({"autoencoder": {"optimizer": "lbfgs"}}, "use `batch: full`"),
        ({"autoencoder": {"optimizer": "lbfgs", "batch": "full", "dropout": 0.1}}, "is random"),
        ({"autoencoder": {"optimizer": "lbfgs", "batch": "full", "clip": "norm"}}, "does nothing"),
        ({"autoencoder": {"optimizer": "lbfgs", "batch": "full", "back_off": 1}}, "does nothing"),
        ({"gan": {"optimizer": "lbfgs", "batch": "full"}}, "two that pull against each other"),
    ],
)
def test_what_cannot_be_exact_is_refused(sections: dict[str, Any], guidance: str) -> None:
    with pytest.raises(ConfigError, match=guidance):
        validate(tiny(**sections), "test")


def test_ghost_statistics_are_a_choice(tmp_path: Path) -> None:
    config = autoencoder_config(normalization="batch", ghost_statistics=True, steps=5)
    assert run(config, examples(300), tmp_path / "a") == run(config, examples(300), tmp_path / "b")


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
from aegan import autoencoder, training
from aegan.checkpoints import Checkpoints
from aegan.config_file import validate
from aegan.store import open_store
rows = int(sys.argv[1])
section = {"batch": "full", "steps": 3, "hidden": [64], "latent_size": 8}
config = validate({"name": "m", "data": {"source": "x", "kind": "tabular"}, "autoencoder": section}, "")
x = np.full((rows, 784), 0.5, np.float32)  # no file, whose pages the system may drop and read again
plan = autoencoder.plan(config)
learner = autoencoder.AutoencoderLearner(config, (784,), x[:100])
def peak():  # in kB; what getrusage tells begins with the peak of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
training.train(learner, x, plan, Checkpoints(open_store(sys.argv[2]), "c", "train_autoencoder"))
print(peak() - before)
"""


def test_memory_grows_by_the_data_alone(tmp_path: Path) -> None:
    peaks = {}
    for number, rows in itertools.product(range(2), (6_000, 60_000)):
        # What the compiler takes varies: the second time its programs lie in a cache.
        command = [sys.executable, "-c", MEMORY, str(rows), str(tmp_path / f"{rows}-{number}")]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[rows] = int(ran.stdout) * 1024
    data = 54_000 * 784 * 4
    assert peaks[60_000] - peaks[6_000] < 1.25 * data, peaks


def test_a_gan_in_full_batch_has_noise_of_its_own_at_each_step() -> None:
    config = validate(tiny(gan=FULL | {"space": "data"}), "test")
    learner = gan.GanLearner(config, (12,), None)
    x = tf.constant(examples(64))

    def loss(step: int, part: int) -> float:
        found = learner.gradients(1, x, tf.constant(step), tf.constant(part))[1]
        return float(found["generator_loss"])

    assert loss(0, 0) == loss(0, 0)
    assert len({loss(0, 0), loss(1, 0), loss(0, 1)}) == 3
