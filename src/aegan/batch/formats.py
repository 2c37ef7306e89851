"""How answers are written: parts, and the one file that is made of them."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aegan.batch.arrays import npy_header
from aegan.batch.arrow import pyarrow
from aegan.batch.results import (
    Operation,
    arrow_columns,
    arrow_fields,
    as_metadata,
    column_names,
    from_metadata,
)
from aegan.batch.source import Array, Block, Source
from aegan.errors import DataError

COPIED_AT_ONCE = 2**22


class Format(Protocol):
    """What parts and the whole look like.

    Attributes:
        suffix: of the parts' names.
    """

    suffix: str

    def mark(self, marks: Mapping[str, str]) -> None:
        """Say in all that is written from now on where it comes from."""

    def part(self, path: Path, rows: int) -> contextlib.AbstractContextManager[Any]:
        """What takes `add(block, answers)` for all rows of a part, and writes it to a path."""

    def whole(self, parts: Sequence[Path], path: Path, rows: int) -> None:
        """Write one file of all parts, in bounded memory."""


class ParquetFormat:
    """Original columns, or names of files, then the answers'."""

    suffix = ".parquet"

    def __init__(self, source: Source, operation: Operation):
        """Fix the columns.

        Raises:
            DataError: the source has a column that is called as an answer's.
        """
        pa = pyarrow()
        original = source.schema or pa.schema(
            [pa.field("file", pa.string())] if source.files else []
        )
        names = column_names(operation.column, operation.shape, _of_columns(source, operation))
        if clash := [name for name in names if name in original.names]:
            raise DataError(
                f"{source.path} has a column named {clash[0]!r} already, which the answers are called;"
                " rename it"
            )
        self._answers = arrow_fields(names, operation.shape, operation.dtype)
        self._schema = pa.schema([*original, *self._answers], metadata=original.metadata)
        self._original, self._files = original.names, source.files

    def mark(self, marks: Mapping[str, str]) -> None:
        """See `Format`."""
        metadata = {**(self._schema.metadata or {}), **as_metadata(marks)}
        self._schema = self._schema.with_metadata(metadata)

    @contextlib.contextmanager
    def part(self, path: Path, rows: int) -> Iterator[_ParquetPart]:
        """See `Format`."""
        with self._writer(path) as writer:
            yield _ParquetPart(writer, self)

    def whole(self, parts: Sequence[Path], path: Path, rows: int) -> None:
        """See `Format`."""
        with self._writer(path) as writer:
            for part in parts:
                with pyarrow().parquet.ParquetFile(part) as file:
                    for group in range(file.num_row_groups):
                        writer.write_table(file.read_row_group(group))

    def table(self, block: Block, answers: Array) -> Any:
        """The rows of a block with their answers."""
        pa = pyarrow()
        columns = [] if block.table is None else list(block.table.columns)
        if self._files:
            columns = [pa.array(self._files[block.first : block.first + len(answers)])]
        columns += arrow_columns(self._answers, answers)
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _writer(self, path: Path) -> Any:
        # Answers hardly repeat: a dictionary of their values would cost time and save nothing.
        return pyarrow().parquet.ParquetWriter(
            path, self._schema, use_dictionary=list(self._original) or False
        )


class _ParquetPart:
    """A row group for each block."""

    def __init__(self, writer: Any, form: ParquetFormat):
        self._writer, self._form = writer, form

    def add(self, block: Block, answers: Array) -> None:
        """Write some rows."""
        table = self._form.table(block, answers)
        self._writer.write_table(table, row_group_size=max(1, len(table)))


class NpzFormat:
    """One array of answers, names of files where the rows are files, and the marks."""

    suffix = ".npy"

    def __init__(self, source: Source, operation: Operation):
        """Remember what is written."""
        self._operation, self._files = operation, source.files
        self._marks: Mapping[str, str] = {}

    def mark(self, marks: Mapping[str, str]) -> None:
        """See `Format`."""
        self._marks = marks

    @contextlib.contextmanager
    def part(self, path: Path, rows: int) -> Iterator[_NpyPart]:
        """See `Format`."""
        with path.open("wb") as file:
            file.write(npy_header(rows, self._operation.shape, self._operation.dtype))
            yield _NpyPart(file)

    def whole(self, parts: Sequence[Path], path: Path, rows: int) -> None:
        """See `Format`."""
        shape, dtype = self._operation.shape, self._operation.dtype
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open(f"{self._operation.plural}.npy", "w", force_zip64=True) as member:
                member.write(npy_header(rows, shape, dtype))
                for part in parts:
                    with part.open("rb") as file:
                        np.lib.format.read_magic(file)
                        np.lib.format.read_array_header_1_0(file)
                        shutil.copyfileobj(file, member, COPIED_AT_ONCE)
            if self._files:
                _add(archive, "file", np.array(self._files))
            add_marks(archive, self._marks)


class _NpyPart:
    """Rows, one after the other."""

    def __init__(self, file: io.BufferedWriter):
        self._file = file

    def add(self, block: Block, answers: Array) -> None:
        """Write some rows."""
        self._file.write(np.ascontiguousarray(answers).data)


def add_marks(archive: zipfile.ZipFile, marks: Mapping[str, str]) -> None:
    """Write each mark as an array of one text."""
    for name, value in marks.items():
        _add(archive, name, np.array(value))


def read_marks(path: Path) -> dict[str, str]:
    """The marks of a finished file; empty if it has none."""
    try:
        if path.suffix.lower() == ".parquet":
            return from_metadata(pyarrow().parquet.read_schema(path))
        with np.load(path, allow_pickle=False) as arrays:
            texts = (name for name in arrays.files if _is_text(path, name))
            return {name: str(arrays[name]) for name in texts}
    except Exception:  # whatever it is, this package did not write it
        return {}


def _is_text(path: Path, name: str) -> bool:
    """Whether an array is one text, told without reading the array."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        return shape == () and dtype.kind == "U"


def _add(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    with archive.open(f"{name}.npy", "w") as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _of_columns(source: Source, operation: Operation) -> Sequence[str]:
    """Names of the columns that the answers are the counterparts of, if they are."""
    return source.names if operation.name == "reconstruct" else ()
