"""The dataset that `normalize` writes: a folder of memory-mapped shards and its description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegan.config import Config
from aegan.data.normalizer import Normalizer, fit
from aegan.data.schema import SCHEMA_VERSION
from aegan.data.shards import Shards
from aegan.data.sources import RawData
from aegan.data.splits import split_rows
from aegan.digests import of_files, to_json
from aegan.errors import DataError
from aegan.narration import narrate

Array = np.ndarray[Any, Any]

SHARD_BYTES = 128 * 2**20
SPLITS = ("train", "validation", "test")
LEAST_TRAINED_ON = 2  # rows: one has no covariance
LEAST_OF_A_CLASS = 5  # rows that a Gaussian is fitted to


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk; arrays are read when asked for.

    Attributes:
        folder: where it lies.
        description: `dataset.json` as a tree.
        normalizer: what was fitted on the training split.
    """

    folder: Path
    description: dict[str, Any]
    normalizer: Normalizer

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: [H, W, C], [D] or [T, C]."""
        return tuple(self.description["element_shape"])

    @property
    def digest(self) -> str:
        """SHA-256 of the source data."""
        return str(self.description["data_digest"])

    def rows(self, split: str) -> int:
        """Number of examples in a split."""
        return int(self.description["splits"][split]["rows"])

    def features(self, split: str) -> Array:
        """[N, ...] float32, normalised; memory-mapped if it is one shard, else in memory."""
        return np.asanyarray(self.stored(split))

    def stored(self, split: str) -> Array | Shards:
        """[N, ...] float32, normalised, memory-mapped."""
        shards = self._shards(split, "features")
        if not shards:
            raise DataError(f"{self.folder}: no features for the split {split!r}")
        return shards[0] if len(shards) == 1 else Shards(shards)

    def labels(self, split: str) -> Array | None:
        """[N] int64 class numbers counted from 0, or None if the data has no labels."""
        shards = self._shards(split, "labels")
        return np.concatenate(shards) if shards else None

    @property
    def num_classes(self) -> int:
        """Number of distinct labels; 0 without labels."""
        return len(self.description["classes"] or ())

    def _shards(self, split: str, part: str) -> list[Array]:
        names = self.description["splits"][split][part]
        return [np.load(self.folder / name, mmap_mode="r") for name in names]


def write_dataset(raw: RawData, config: Config, folder: Path) -> Dataset:
    """Split, fit on the training split, normalise, write.

    Raises:
        DataError: a split is empty, or smaller than a batch.
    """
    parts = _split(raw, config)
    check_sizes(config, {name: len(examples) for name, (examples, _) in parts.items()})
    normalizer = fit(parts["train"][0], config.normalize.method, config.data.kind)
    labels = {name: found for name, (_, found) in parts.items() if found is not None}
    classes = (
        np.unique(np.concatenate(list(labels.values()))) if len(labels) == len(parts) else None
    )
    if labels and classes is None:
        without = ", ".join(parts.keys() - labels.keys())
        narrate("normalize", "warning", f"labels are not used: the {without} split has none")

    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[str, Any] = {}
    for name, (examples, _) in parts.items():
        features = _write_shards(folder, name, "features", examples, normalizer.apply)
        numbered: list[str] = []
        if classes is not None:
            numbers = np.searchsorted(classes, labels[name]).astype(np.int64)
            numbered = _write_shards(folder, name, "labels", numbers, lambda y: y)
        splits[name] = {"rows": len(examples), "features": features, "labels": numbered}

    (folder / "normalizer.json").write_text(normalizer.to_json(), "utf-8")
    description = {
        "schema_version": SCHEMA_VERSION,
        "kind": config.data.kind,
        "element_shape": list(raw.examples.shape[1:]),
        "dtype": "float32",
        "raw_dtype": raw.examples.dtype.name,
        "classes": None if classes is None else classes.tolist(),
        "data_digest": raw.digest(),
        "source_files": raw.files,
        "seed": config.seed,
        "splits": splits,
        "files": of_files(folder),
    }
    (folder / "dataset.json").write_bytes(to_json(description))
    return Dataset(folder, description, normalizer)


def open_dataset(folder: Path) -> Dataset:
    """The dataset that `write_dataset` wrote into this folder."""
    description = json.loads((folder / "dataset.json").read_text("utf-8"))
    if description["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{folder}: dataset schema {description['schema_version']}, expected {SCHEMA_VERSION};"
            " run normalize again with this version of aegan"
        )
    normalizer = Normalizer.from_json((folder / "normalizer.json").read_text("utf-8"))
    return Dataset(folder, description, normalizer)


def _split(raw: RawData, config: Config) -> dict[str, tuple[Array, Array | None]]:
    own_test = raw.test_examples is not None
    rows = split_rows(
        raw.examples,
        config.seed,
        validation=config.data.validation_fraction,
        test=0.0 if own_test else config.data.test_fraction,
    )
    parts = {
        name: (raw.examples[index], None if raw.labels is None else raw.labels[index])
        for name, index in zip(SPLITS, rows, strict=True)
    }
    if raw.test_examples is not None:
        parts["test"] = (raw.test_examples, raw.test_labels)
    return parts


def check_sizes(config: Config, sizes: dict[str, int]) -> None:
    """Refuse splits too small to train or to score on.

    Args:
        config: the run's configuration.
        sizes: rows of each split.

    Raises:
        DataError: the training split is smaller than two rows or a mini-batch, or another one than k + 1
            rows.
    """
    if sizes["train"] < LEAST_TRAINED_ON:
        raise DataError(
            f"{config.data.source}: the train split holds {sizes['train']} of {sum(sizes.values())}"
            f" rows, at least {LEAST_TRAINED_ON} are needed (equal rows lie in one split); give more"
            " data, or lower data.validation_fraction and data.test_fraction"
        )
    sections = (config.autoencoder, config.gan)
    needed = max(1 if section.batch == "full" else section.batch_size for section in sections)
    if sizes["train"] < needed:
        raise DataError(
            f"{config.data.source}: {sizes['train']} training rows are fewer than one batch of"
            f" {needed}; give more data or lower autoencoder.batch_size and gan.batch_size"
        )
    # Scores compare each example with its k nearest neighbours.
    least = config.evaluation.neighbours + 1
    for name in ("validation", "test"):
        if sizes[name] < least:
            raise DataError(
                f"{config.data.source}: the {name} split holds {sizes[name]} of {sum(sizes.values())}"
                f" rows, at least {least} are needed (equal rows lie in one split); give more data,"
                f" raise data.{name}_fraction (unless the source has a test set of its own) or lower"
                " evaluation.neighbours"
            )


def check_classes(config: Config, raw: RawData) -> None:
    """Refuse to make a conditional GAN of data without classes, or with too few rows of one.

    Raises:
        DataError: a split has no labels, there is one class, or a class is rare in the training split.
    """
    if not config.gan.conditional:
        return
    labels = {name: found for name, (_, found) in _split(raw, config).items()}
    without = ", ".join(name for name, found in labels.items() if found is None)
    if without:
        raise DataError(
            f"{config.data.source}: gan.conditional needs labels and the {without} split has none; give"
            " them (an IDX folder's labels files, y in an .npz), or set gan.conditional: false"
        )
    classes = np.unique(np.concatenate([found for found in labels.values() if found is not None]))
    if len(classes) < 2:
        raise DataError(
            f"{config.data.source}: gan.conditional needs at least two classes, and all labels are"
            f" {classes[0]}; set gan.conditional: false"
        )
    counts = {label: int(np.sum(labels["train"] == label)) for label in classes.tolist()}
    rare = [f"{label} ({n})" for label, n in counts.items() if n < LEAST_OF_A_CLASS]
    if rare:
        raise DataError(
            f"{config.data.source}: gan.conditional needs at least {LEAST_OF_A_CLASS} training rows of"
            f" each class; too few of {', '.join(rare[:8])}{', …' if len(rare) > 8 else ''}; leave"
            " such classes out or give more data, or set gan.conditional: false"
        )


def _write_shards(folder: Path, split: str, part: str, values: Array, transform: Any) -> list[str]:
    (folder / split).mkdir(exist_ok=True)
    names = []
    for number, shard in enumerate(_shards(values)):
        names.append(f"{split}/{part}-{number:05d}.npy")
        np.save(folder / names[-1], transform(shard))
    return names


def _shards(values: Array) -> Iterator[Array]:
    bytes_per_row = max(1, 4 * int(np.prod(values.shape[1:], dtype=np.int64)))
    rows = max(1, SHARD_BYTES // bytes_per_row)
    for start in range(0, len(values), rows):
        yield values[start : start + rows]
