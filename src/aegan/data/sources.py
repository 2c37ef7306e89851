"""Reading raw examples: IDX, .npy, .npz and scikit-learn's digits, from a folder or a bucket."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegan.batch.source import readable
from aegan.config import Data
from aegan.data.idx import read_idx
from aegan.data.normalizer import LARGEST
from aegan.digests import sha256
from aegan.errors import DataError
from aegan.store import open_store

Array = np.ndarray[Any, Any]

BUILT_IN = "digits"
"""The source that is no file: it comes with scikit-learn."""

ELEMENT_SHAPES = {"image": "[H, W] or [H, W, C]", "tabular": "[D]", "sequence": "[T, C]"}
EXAMPLE_KEYS = ("x", "images", "data", "features")
LABEL_KEYS = ("y", "labels", "targets")


@dataclass(frozen=True)
class RawData:
    """Examples as they were found.

    Attributes:
        examples: [N, ...] integers or floats in raw units.
        labels: [N] integers, or None.
        test_examples: [M, ...] if the source has a test set of its own, else None.
        test_labels: [M] integers, or None.
        files: SHA-256 of every file that was read, by file name.
    """

    examples: Array
    labels: Array | None
    test_examples: Array | None
    test_labels: Array | None
    files: dict[str, str]

    def digest(self) -> str:
        """One SHA-256 over all source files, whatever folder or bucket they lie in."""
        lines = "".join(f"{sha}  {name}\n" for name, sha in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def read_source(data: Data, scratch: Path) -> RawData:
    """Read and check the configured source.

    Args:
        data: the `data` section of the configuration.
        scratch: folder for files copied from a bucket.

    Raises:
        DataError: missing, unreadable, damaged, of another format, shape or type, or not finite.
    """
    raw = _read_digits() if data.source == BUILT_IN else _read_files(data, scratch)
    for name, expected in data.sha256.items():
        received = raw.files.get(name)
        if received != expected:
            raise DataError(
                f"{data.source}: {name} has SHA-256 {received or '(no such file was read)'},"
                f" expected {expected}; fetch the file again or correct data.sha256"
            )
    examples = _checked(raw.examples, raw.labels, data, "examples")
    test = raw.test_examples
    if test is not None:
        test = _checked(test, raw.test_labels, data, "test examples")
        if test.shape[1:] != examples.shape[1:] or test.dtype != examples.dtype:
            raise DataError(
                f"{data.source}: test examples are {test.dtype} {list(test.shape[1:])}"
                f" but training examples are {examples.dtype} {list(examples.shape[1:])}; write both"
                " with one shape and type"
            )
    return RawData(examples, raw.labels, test, raw.test_labels, raw.files)


def _read_digits() -> RawData:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    return RawData(
        images, bunch.target, None, None, {BUILT_IN: hashlib.sha256(images.tobytes()).hexdigest()}
    )


def _read_files(data: Data, scratch: Path) -> RawData:
    path = _local_copy(data.source, scratch)
    with readable(path):
        return _read_path(path, data)


def _read_path(path: Path, data: Data) -> RawData:
    if not path.exists():
        raise DataError(
            f"no data at {data.source} (looked in {path}): give an existing file or folder,"
            " for example --set data.source=PATH"
        )
    is_guess = data.format == "auto"
    found = _guess_format(path) if is_guess else data.format
    if found == "idx":
        return _read_idx_folder(path) if path.is_dir() else _one_array(path, read_idx(path))
    if found in ("npy", "npz") and path.is_file():
        return _read_numpy(path)
    if not is_guess:
        raise DataError(
            f"{data.source} is no file: data.format {found} expects the path of one; correct"
            " data.source or data.format"
        )
    raise DataError(
        f"{data.source}: cannot tell the format; expected a folder of IDX files, or a file"
        f" ending in .npy, .npz, -ubyte or -ubyte.gz (set data.format otherwise)"
    )


def _local_copy(source: str, scratch: Path) -> Path:
    if not source.startswith("gs://"):
        return Path(source).expanduser().absolute()
    parent, name = split_uri(source)
    return open_store(parent).fetch(name, scratch)


def split_uri(source: str) -> tuple[str, str]:
    """Of a source in a bucket: what lies around it, and its name there.

    Raises:
        DataError: it is a whole bucket.
    """
    parent, _, name = source.rstrip("/").rpartition("/")
    if parent == "gs:/":
        raise DataError(f"{source} names a whole bucket; give a path in it: gs://bucket/path")
    return parent, name


def _guess_format(path: Path) -> str:
    if path.is_file() and path.suffix in (".npy", ".npz"):
        return path.suffix.removeprefix(".")
    return "idx" if path.is_dir() or "idx" in path.name or "ubyte" in path.name else "unknown"


def _one_array(path: Path, examples: Array) -> RawData:
    return RawData(examples, None, None, None, {path.name: sha256(path)})


def _read_idx_folder(folder: Path) -> RawData:
    files: dict[str, str] = {}

    def find(part: str, *starts: str) -> Array | None:
        for path in sorted(folder.iterdir()):
            if part in path.name and "idx" in path.name and path.name.startswith(starts):
                files[path.name] = sha256(path)
                return read_idx(path)
        return None

    examples = find("images", "train")
    if examples is None:
        raise DataError(
            f"{folder}: no training images: expected a file named train-images-idx3-ubyte(.gz),"
            f" received {sorted(p.name for p in folder.iterdir())[:8]}"
        )
    return RawData(
        examples,
        find("labels", "train"),
        find("images", "t10k", "test"),
        find("labels", "t10k", "test"),
        files,
    )


def _read_numpy(path: Path) -> RawData:
    path.open("rb").close()  # what may not be read is not damaged
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return _one_array(path, loaded)
        with loaded:
            arrays = {key: np.asarray(loaded[key]) for key in loaded.files}
    except Exception as error:  # a damaged file makes NumPy and zipfile raise a dozen types
        raise DataError(
            f"{path}: not a readable NumPy file: {error};"
            " write it again with numpy.save or numpy.savez, without Python objects"
        ) from None

    def first(keys: tuple[str, ...], suffix: str) -> Array | None:
        return next((arrays[k + suffix] for k in keys if k + suffix in arrays), None)

    suffix = "_train" if any(key.endswith("_train") for key in arrays) else ""
    examples = first(EXAMPLE_KEYS, suffix)
    if examples is None:
        raise DataError(
            f"{path}: no examples: expected an array named x (or x_train, x_test; labels y),"
            f" received {sorted(arrays)}"
        )
    return RawData(
        examples,
        first(LABEL_KEYS, suffix),
        first(EXAMPLE_KEYS, "_test"),
        first(LABEL_KEYS, "_test"),
        {path.name: sha256(path)},
    )


def _checked(examples: Array, labels: Array | None, data: Data, what: str) -> Array:
    """Examples with a channel axis where an image has none; raises DataError on any defect."""
    where = f"{data.source}: {what}"
    if examples.dtype.kind not in "uif" or examples.dtype.itemsize > 8:
        raise DataError(
            f"{where} have the type {examples.dtype}: expected integers or floats of at most 64 bits;"
            " convert them, for example to uint8 or float32"
        )
    rank = {"image": (3, 4), "tabular": (2,), "sequence": (3,)}[data.kind]
    if examples.ndim not in rank or 0 in examples.shape:
        raise DataError(
            f"{where} have the shape {list(examples.shape)}: data.kind {data.kind!r} expects [N, ...]"
            f" with {ELEMENT_SHAPES[data.kind]} for one example; reshape them or set data.kind"
        )
    if examples.dtype.kind == "f":
        usable = np.abs(examples.reshape(len(examples), -1)) <= LARGEST  # NaN is not
        rows = np.flatnonzero(~usable.all(axis=1))
        if rows.size:
            raise DataError(
                f"{where}: {rows.size} of {len(examples)} rows hold NaN, infinity or numbers beyond"
                f" {LARGEST:g}, the first is row {rows[0]}; drop or fill them"
            )
    if labels is not None and (labels.dtype.kind not in "ui" or labels.shape != (len(examples),)):
        raise DataError(
            f"{where}: labels are {labels.dtype} {list(labels.shape)}:"
            f" expected integers [{len(examples)}], one for each example"
        )
    if data.kind == "image" and examples.ndim == 3:
        examples = examples[..., np.newaxis]
    return examples
