"""Where examples come from: a file or folder whose rows are read in blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aegan.digests import sha256
from aegan.errors import DataError
from aegan.store import in_bucket

Array = np.ndarray[Any, Any]

IMAGES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Block:
    """Some rows, one after the other.

    Attributes:
        first: number of its first row; rows are counted from 0.
        examples: [B, *shape], or [B, H, W] where images have one channel.
        table: the rows' original columns as a `pyarrow.Table`; None where the source has none.
    """

    first: int
    examples: Array
    table: Any = None


class Source(Protocol):
    """What the rest of this package needs of a file or folder."""

    @property
    def path(self) -> Path:
        """Of the file or folder."""

    @property
    def rows(self) -> int:
        """How many there are."""

    @property
    def row_bytes(self) -> int:
        """That a row takes in memory, about."""

    @property
    def names(self) -> Sequence[str]:
        """Of the columns that examples are made of; empty where they have no names."""

    @property
    def schema(self) -> Any:
        """Of the original columns, a `pyarrow.Schema`; None where the source has none."""

    @property
    def files(self) -> Sequence[str]:
        """Names of the rows' files; empty where rows are no files."""

    def blocks(self, first: int, sizes: Iterable[int]) -> Iterator[Block]:
        """Blocks of these numbers of rows, one after the other, from row `first` on.

        Raises:
            DataError: a row cannot be read; names the file and the row.
        """

    def digest(self) -> str:
        """SHA-256 of all that is read."""


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn a failure to read a file or folder into one clear error, which names it."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or path}: {error.strerror or error}; get the right to read it,"
            " or take it out of what is read"
        ) from None


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        DataError: it cannot be read.
    """
    with readable(path):
        return sha256(path)


def open_source(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], columns: Sequence[str] = ()
) -> Source:
    """The source at a path, checked as far as its header tells.

    Args:
        path: a .npy, .npz, .csv or .parquet file, or a folder of PNG and JPEG images.
        shape: of one example.
        dtype: of examples.
        columns: names of the columns of a table that hold the examples, or of the array in an .npz;
            empty: all columns of numbers, or the array that has a usual name.

    Raises:
        DataError: there is no such file, it cannot be read, its format is another, it is damaged or
            empty, or it cannot hold examples of this shape.
        DependencyError: a CSV or Parquet file, and pyarrow is not installed.
    """
    if in_bucket(path):
        raise DataError(f"{path}: expected a local file or folder; copy it here first")
    with readable(path):
        if not path.exists():
            raise DataError(f"no file or folder at {path}: expected the examples there")
        source = _open(path, shape, dtype, columns)
    if source.rows == 0:
        raise DataError(f"{path} holds no rows: expected at least one example")
    return source


def _open(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], columns: Sequence[str]
) -> Source:
    suffix = path.suffix.lower()
    if columns and (path.is_dir() or suffix == ".npy"):
        raise DataError(
            f"{path} has no columns to choose from: expected names only for CSV, Parquet and .npz files"
        )
    if path.is_dir():
        from aegan.batch.pictures import ImageFolder

        return ImageFolder(path, shape, dtype)
    if suffix in (".npy", ".npz"):
        from aegan.batch.arrays import open_npy, open_npz

        return open_npz(path, shape, columns) if suffix == ".npz" else open_npy(path, shape)
    if suffix == ".csv":
        from aegan.batch.csv_files import open_csv

        return open_csv(path, shape, columns)
    if suffix == ".parquet":
        from aegan.batch.tables import open_parquet

        return open_parquet(path, shape, columns)
    raise DataError(
        f"{path}: cannot tell the format: expected a name ending in .npy, .npz, .csv or .parquet,"
        " or a folder of PNG and JPEG images"
    )
