"""What consumers hold: a published version, verified and ready, raw units in and out."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from aegan import manifest as manifests
from aegan.batches import in_batches
from aegan.data.sources import LARGEST
from aegan.errors import DataError, DependencyError
from aegan.references import parse_reference
from aegan.registry import Registry

Array = np.ndarray[Any, Any]

MOST_SAMPLES = 2**24


class Model:
    """A loaded version.

    Attributes:
        name: of the model.
        version: the immutable version.
        digest: root digest of all its files, SHA-256.
        shape: of one example: [H, W, C], [D] or [T, C].
        dtype: of examples, raw.
        latent_size: of a code.
        classes: the labels that `sample` takes, as in the training data; empty if it takes none.
    """

    def __init__(self, folder: Path, name: str, version: str, digest: str):
        """Load a verified folder; use `aegan.load` instead."""
        tensorflow = _tensorflow()
        self.name, self.version, self.digest = name, version, digest
        text = (folder / "preprocess" / "dataset.json").read_text("utf-8")
        dataset = json.loads(text)
        self.shape: tuple[int, ...] = tuple(dataset["element_shape"])
        self.dtype = np.dtype(dataset["raw_dtype"])
        load_saved = tensorflow.saved_model.load
        self._autoencoder = load_saved(str(folder / "serving" / "autoencoder" / "1"))
        self._generator = load_saved(str(folder / "serving" / "generator" / "1"))
        self.latent_size = int(self._autoencoder.decode.input_signature[0].shape[1])
        conditional = hasattr(self._generator, "sample_class")
        self.classes: list[int] = dataset["classes"] if conditional else []

    def __repr__(self) -> str:
        return f"<aegan.Model {self.name} {self.version}>"

    def encode(self, examples: Array) -> Array:
        """Examples [N, *shape] raw to codes [N, latent_size] float32."""
        return in_batches(self._autoencoder.encode, self._examples(examples))

    def decode(self, codes: Array) -> Array:
        """Codes [N, latent_size] to examples [N, *shape] raw."""
        codes = _array(codes)
        if codes.dtype.kind not in "uif":
            raise DataError(f"codes are {codes.dtype}, expected floats")
        codes = codes.astype(np.float32)
        if codes.ndim != 2 or codes.shape[1] != self.latent_size:
            raise DataError(
                f"codes have the shape {list(codes.shape)}, expected [N, {self.latent_size}]"
            )
        if len(codes) == 0 or not np.isfinite(codes).all():
            raise DataError("expected at least one code, and no NaN or infinity in any of them")
        return in_batches(self._autoencoder.decode, codes)

    def reconstruct(self, examples: Array) -> Array:
        """Examples [N, *shape] raw to their reconstructions, raw."""
        return in_batches(self._autoencoder.reconstruct, self._examples(examples))

    def score(self, examples: Array) -> Array:
        """Anomaly score of each example: its squared reconstruction error, [N] float32.

        The mean over its elements, in normalised units.
        """
        return in_batches(self._autoencoder.score, self._examples(examples))

    def sample(self, n: int, seed: int | None = None, label: int | None = None) -> Array:
        """Draw n new examples [n, *shape] raw.

        Args:
            n: how many.
            seed: 0 to 2³¹ - 1; the same seed gives the same samples, and the first m of n are the m
                that it gives alone. None draws a new one.
            label: one of `classes`, to draw examples of that class; None draws labels as often as
                the training data holds them.
        """
        if not _is_integer(n) or not 1 <= n <= MOST_SAMPLES:
            raise DataError(
                f"cannot draw {n!r} samples at once: expected an integer from 1 to {MOST_SAMPLES:,};"
                " draw several times with different seeds"
            )
        if seed is None:
            seed = secrets.randbelow(2**31)
        if not _is_integer(seed) or not 0 <= seed < 2**31:
            raise DataError(f"the seed is {seed!r}: expected an integer from 0 to {2**31 - 1}")
        tensorflow = _tensorflow()
        function, numbers = self._generator.sample, [n, seed]
        if label is not None:
            numbers.append(self._class_number(label))
            function = self._generator.sample_class
        drawn = function(*(tensorflow.constant(x, tensorflow.int32) for x in numbers))
        return np.asarray(drawn.numpy())

    def _class_number(self, label: Any) -> int:
        if not self.classes:
            raise DataError(
                f"{self.name} {self.version} cannot draw samples of one label: its sampler was not"
                " trained with gan.conditional: true; leave the label out"
            )
        if not _is_integer(label) or label not in self.classes:
            known = ", ".join(map(str, self.classes))
            raise DataError(f"the label is {label!r}: expected one of {known}")
        return self.classes.index(label)

    def _examples(self, examples: Array) -> Array:
        """Check shape and type; an image without its channel axis gets one."""
        examples = _array(examples)
        if self.shape[-1] == 1 and examples.shape[1:] == self.shape[:-1]:
            examples = examples[..., np.newaxis]
        if examples.shape[1:] != self.shape or len(examples) == 0:
            raise DataError(
                f"examples have the shape {list(examples.shape)}, expected"
                f" [N, {', '.join(map(str, self.shape))}] with N of at least 1"
            )
        if examples.dtype.kind not in "uif":
            raise DataError(f"examples are {examples.dtype}, expected {self.dtype}")
        if examples.dtype.kind == "f" and not (np.abs(examples) <= LARGEST).all():
            raise DataError(
                f"examples hold NaN, infinity or numbers beyond {LARGEST:g}; drop or fill them"
            )
        if examples.dtype != self.dtype:
            converted = examples.astype(self.dtype)
            if self.dtype.kind != "f" and not np.array_equal(converted, examples):
                raise DataError(
                    f"examples are {examples.dtype} with values that {self.dtype} cannot hold;"
                    f" this model takes raw units: {self.dtype}, as in its training data"
                )
            examples = converted
        return examples


def _array(values: Any) -> Array:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"expected an array, received what makes none: {error}") from None


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def load(uri: str) -> Model:
    """Resolve, verify and load a published model.

    Args:
        uri: `<root>/models/<name>@<alias or version>`, a folder or `gs://`; without `@`, its champion.

    Raises:
        RegistryError: there is no such model, alias or version.
        IntegrityError: a file is not the one that was published; names each.
        DependencyError: TensorFlow is not installed.
    """
    root, name, reference = parse_reference(uri)
    registry = Registry(root)
    version, digest = registry.resolve(name, reference)
    _tensorflow()  # before any download
    if not root.startswith("gs://"):
        folder = registry.fetch(name, version, Path(), digest)
    else:
        folder = _cached(registry, name, version, digest)
    return Model(folder, name, version, digest)


def _cached(registry: Registry, name: str, version: str, digest: str) -> Path:
    """A verified copy in the user's cache, keyed by digest; fetched anew if it was changed."""
    base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "aegan"
    target = base / digest
    if target.is_dir():
        expected = registry.manifest(name, version)
        if not manifests.differences(expected, manifests.of_folder(name, target)):
            return target
        shutil.rmtree(target, ignore_errors=True)
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        folder = registry.fetch(name, version, Path(scratch), digest)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same files
                raise
    return target


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow
    except ImportError:
        raise DependencyError(
            "loading a model needs TensorFlow, which is not installed: pip install 'aegan[train]'"
        ) from None
    return tensorflow
