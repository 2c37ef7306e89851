"""What consumers hold: a published version, verified and ready, raw units in and out."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aegan.data.normalizer import LARGEST
from aegan.data.schema import check_readable
from aegan.errors import DataError
from aegan.manifest import Manifest
from aegan.runtimes import open_runtime
from aegan.thresholds import Quantiles
from aegan.version_files import VersionFiles

Array = np.ndarray[Any, Any]

SCORES = "preprocess/scores.json"
MOST_SAMPLES = 2**24
LARGEST_BATCH = 2048  # measured: larger ones gain next to nothing in either runtime
MOST_ELEMENTS, SMALLEST_BATCH = 2**21, 16  # of a batch: bounds what the layers hold meanwhile


class Model:
    """A loaded version.

    What takes examples or codes takes an array, in memory or memory-mapped, or an iterator of arrays, as
    many as there are. It holds no more than a batch of them at a time, and joins the answers in memory.

    Attributes:
        name: of the model.
        version: the immutable version.
        digest: root digest of all its files, SHA-256.
        shape: of one example: [H, W, C], [D] or [T, C].
        dtype: of examples, raw.
        classes: the labels that `sample` takes, as in the training data; empty if it takes none.
        backend: what computes: `onnx` or `tensorflow`. Both give the same up to rounding.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        version: str,
        digest: str,
        backend: str = "auto",
        *,
        manifest: Manifest | None = None,
    ):
        """Load a verified folder; use `aegan.load` instead.

        What a call needs and was not read yet is read by that call, and checked again: it raises
        RegistryError if the file has gone since, IntegrityError if it was changed.

        Args:
            folder: of the version.
            name: of the model.
            version: of the model.
            digest: of the version.
            backend: `tensorflow`, `onnx`, or `auto`: see `aegan.runtimes.open_runtime`.
            manifest: that the folder was verified against; None to run its files unchecked.
        """
        self.name, self.version, self.digest = name, version, digest
        files = VersionFiles(folder, manifest)
        dataset = json.loads(files.read("preprocess/dataset.json"))
        check_readable(dataset, f"{name} {version}")
        self.shape: tuple[int, ...] = tuple(dataset["element_shape"])
        self.dtype = np.dtype(dataset["raw_dtype"])
        self._runtime = open_runtime(files, backend)
        self.backend = self._runtime.backend
        self.classes: list[int] = dataset["classes"] if self._runtime.conditional else []
        self._scores = files.read(SCORES) if files.has(SCORES) else None

    def __repr__(self) -> str:
        return f"<aegan.Model {self.name} {self.version}>"

    @property
    def latent_size(self) -> int:
        """Of a code."""
        return self._runtime.latent_size

    def encode(self, examples: Array | Iterator[Array]) -> Array:
        """Examples [N, *shape] raw to codes [N, latent_size] float32."""
        return _joined(self._runtime.encode, self._batches(examples))

    def decode(self, codes: Array | Iterator[Array]) -> Array:
        """Codes [N, latent_size] to examples [N, *shape] raw."""
        shaped = (self._codes(part) for part in _arrays(codes))
        batches = (_finite(batch) for batch in _cut(shaped, math.prod(self.shape)))
        return _joined(self._runtime.decode, batches)

    def reconstruct(self, examples: Array | Iterator[Array]) -> Array:
        """Examples [N, *shape] raw to their reconstructions, raw."""
        return _joined(self._runtime.reconstruct, self._batches(examples))

    def score(self, examples: Array | Iterator[Array]) -> Array:
        """Anomaly score of each example: its squared reconstruction error, [N] float32.

        The mean over its elements, in normalised units.
        """
        return _joined(self._runtime.score, self._batches(examples))

    def threshold(self, false_alarm: float = 0.01) -> float:
        """The anomaly score that at most this share of examples like the validation examples exceed.

        Raises:
            DataError: it is no share, or there were too few validation examples to tell.
        """
        if self._scores is None:
            raise DataError(
                f"{self.name} {self.version} does not tell how its validation examples scored: it was"
                " published before that was kept; choose a threshold for its scores yourself"
            )
        return Quantiles(**json.loads(self._scores)).threshold(false_alarm)

    def is_anomaly(
        self, examples: Array | Iterator[Array], false_alarm: float = 0.01
    ) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each example scores above `threshold(false_alarm)`: [N] bool.

        Args:
            examples: [N, *shape] raw.
            false_alarm: share of examples like the validation examples that may be called anomalies.
        """
        threshold = self.threshold(false_alarm)
        return self.score(examples) > np.float32(threshold)

    def sample(self, n: int, seed: int | None = None, label: int | None = None) -> Array:
        """Draw n new examples [n, *shape] raw.

        Args:
            n: how many.
            seed: 0 to 2³¹ - 1; the same seed gives the same samples, and the first m of n are the m
                that it gives alone. So with any backend, up to rounding. None draws a new one.
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
        class_number = None if label is None else self._class_number(label)
        return self._runtime.sample(int(n), int(seed), class_number)

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

    def _batches(self, examples: Any) -> Iterator[Array]:
        """Batches of checked examples."""
        shaped = (self._shaped(part) for part in _arrays(examples))
        return (self._checked(batch) for batch in _cut(shaped, math.prod(self.shape)))

    def _shaped(self, examples: Array) -> Array:
        """Check the shape; an image without its channel axis gets one."""
        if self.shape[-1] == 1 and examples.shape[1:] == self.shape[:-1]:
            examples = examples[..., np.newaxis]
        if examples.shape[1:] != self.shape or len(examples) == 0:
            raise DataError(
                f"examples have the shape {list(examples.shape)}, expected"
                f" [N, {', '.join(map(str, self.shape))}] with N of at least 1"
            )
        if examples.dtype.kind not in "uif":
            raise DataError(f"examples are {examples.dtype}, expected {self.dtype}")
        return examples

    def _checked(self, examples: Array) -> Array:
        """Check the values; other types are converted if that changes none."""
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

    def _codes(self, codes: Array) -> Array:
        """Check type and shape."""
        if codes.dtype.kind not in "uif":
            raise DataError(f"codes are {codes.dtype}, expected floats")
        if codes.shape[1:] != (self.latent_size,):
            raise DataError(
                f"codes have the shape {list(codes.shape)}, expected [N, {self.latent_size}]"
            )
        return codes


def _finite(codes: Array) -> Array:
    # Before they become float32, in which larger ones are infinite.
    if len(codes) == 0 or not (np.abs(codes) <= LARGEST).all():
        raise DataError(
            "expected at least one code, and no NaN, infinity or numbers beyond"
            f" {LARGEST:g} in any of them; decode what encode returned"
        )
    return codes.astype(np.float32, copy=False)


def _arrays(values: Any) -> Iterator[Array]:
    """Values as arrays: one, or those that an iterator gives."""
    for value in values if isinstance(values, Iterator) else (values,):
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise DataError(f"expected an array, received what makes none: {error}") from None
        yield array


def _cut(arrays: Iterator[Array], size: int) -> Iterator[Array]:
    """Batches of arrays' rows, of as many examples of this size as fit through a network at once."""
    rows = max(SMALLEST_BATCH, min(LARGEST_BATCH, MOST_ELEMENTS // size))
    for array in arrays:
        for start in range(0, max(1, len(array)), rows):
            yield array[start : start + rows]


def _joined(function: Callable[[Array], Array], batches: Iterator[Array]) -> Array:
    """What a function says of each batch, on the first axis.

    Raises:
        DataError: there is no batch.
    """
    results = [function(batch) for batch in batches]
    if not results:
        raise DataError("expected at least one batch, received an iterator that gave none")
    return np.concatenate(results)


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
