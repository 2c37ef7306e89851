"""Samples of versions computed by hand from their Keras networks and arrays, and by what they export.

    python by_hand.py JOBS

Runs where aegan cannot be imported: nothing here is its own code. JOBS is a JSON list of

    folder      of a version
    noise_size  of what the generator takes
    prior       `mixture`, or `normal` for noise alone
    whitened    whether the generator makes whitened codes, and not examples
    draws       for each sample; of several the discriminator chooses one
    frequencies of the classes, or null
    offset, scale of raw units
    num, seed   of the samples
    out         .npz for `by_hand` (raw units, not yet rounded), `SavedModel` and `ONNX`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import tensorflow as tf

sys.modules["aegan"] = None  # type: ignore[assignment]  # any import of it fails

BLOCK = 256  # samples that are drawn from one seed
Array = np.ndarray[Any, Any]


def by_hand(job: dict[str, Any], folder: Path) -> Array:
    blocks = range(-(-job["num"] // BLOCK))
    return np.concatenate([block(job, folder, [job["seed"], n]) for n in blocks])[: job["num"]]


def block(job: dict[str, Any], folder: Path, seed: list[int]) -> Array:
    classes, size = None, BLOCK * job["draws"]
    if job["frequencies"]:
        shares = np.log(np.array(job["frequencies"], np.float32))
        drawn = categories(shares, BLOCK, tf.random.fold_in(seed, 1)).repeat(job["draws"])
        classes = np.eye(len(shares), dtype=np.float32)[drawn]
    of_noise, of_mixture = tf.unstack(tf.random.split(seed, 2))
    given = [np.asarray(tf.random.stateless_normal([size, job["noise_size"]], of_noise))]
    if job["prior"] == "mixture":
        given.insert(0, from_mixture(folder, size, of_mixture, classes))
    given += [] if classes is None else [classes]
    output = given[0] if network(folder, "generator") is None else ask(folder, "generator", given)
    if job["draws"] > 1:
        rated = ask(folder, "discriminator", [output] if classes is None else [output, classes])
        weights = rated.reshape(BLOCK, job["draws"])
        chosen = categories(weights, BLOCK, tf.random.fold_in(seed, 2))
        output = output.reshape(BLOCK, job["draws"], -1)[np.arange(BLOCK), chosen]
    if job["whitened"]:
        with np.load(folder / "preprocess" / "whitening.npz") as whitening:
            codes = output @ whitening["inverse"] + whitening["mean"]
        output = ask(folder, "decoder", [codes])
    return output * np.array(job["scale"]) + np.array(job["offset"])


def from_mixture(folder: Path, size: int, seed: Any, classes: Array | None) -> Array:
    """[size, D]: a Gaussian for each row, then a draw from it."""
    of_components, of_draws = tf.unstack(tf.random.split(seed, 2))
    with np.load(folder / "preprocess" / "mixture.npz") as mixture:
        log_weights, means, factors = (mixture[n] for n in ("log_weights", "means", "factors"))
    if classes is not None:
        log_weights = log_weights[classes.argmax(axis=1)]
    component = categories(log_weights, size, of_components)
    normal = np.asarray(tf.random.stateless_normal([size, means.shape[1]], of_draws))
    drawn: Array = means[component] + np.einsum("nij,nj->ni", factors[component], normal)
    return drawn.astype(np.float32)


def categories(log_weights: Array, size: int, seed: Any) -> Array:
    """[size] numbers with the probabilities exp(log_weights), by the Gumbel-max trick."""
    shape = [size, log_weights.shape[-1]]
    uniform = np.asarray(tf.random.stateless_uniform(shape, seed, minval=1e-9))
    return np.asarray(np.argmax(log_weights - np.log(-np.log(uniform)), axis=1))


def network(folder: Path, name: str) -> Any:
    path = folder / "keras" / f"{name}.keras"
    return keras.models.load_model(path, safe_mode=True) if path.is_file() else None


def ask(folder: Path, name: str, given: list[Array]) -> Array:
    return np.asarray(network(folder, name)(given if len(given) > 1 else given[0]))


def exported(job: dict[str, Any], folder: Path) -> dict[str, Array]:
    saved = tf.saved_model.load(str(folder / "serving" / "generator" / "1")).signatures["sample"]
    numbers = {name: np.array(job[name], np.int32) for name in ("num", "seed")}
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "sample" / "1" / "model.onnx"))
    of_tensorflow = saved(**{name: tf.constant(value) for name, value in numbers.items()})
    return {
        "SavedModel": of_tensorflow["examples"].numpy(),
        "ONNX": session.run(None, numbers)[0],
    }


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_bytes()):
        folder = Path(job["folder"])
        np.savez(job["out"], by_hand=by_hand(job, folder), **exported(job, folder))
