"""Rows of a table in a file: examples from its columns of numbers, all columns kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegan.batch.arrow import pyarrow
from aegan.batch.source import Array, Block, digest_of
from aegan.errors import DataError

READ_AT_ONCE = 8192  # rows of a Parquet file, of which blocks are made
BUFFER_BYTES = 2**20
MOST_NAMES = 12  # in a message


@dataclass(frozen=True)
class Table:
    """A table whose columns of numbers, side by side, are examples.

    Attributes:
        path: of the file.
        rows: how many there are.
        row_bytes: that a row takes, about.
        names: of the columns that hold the examples.
        schema: of all columns.
        batches: reads the file anew, as record batches in their order.
    """

    path: Path
    rows: int
    row_bytes: int
    names: Sequence[str]
    schema: Any
    shape: tuple[int, ...]
    batches: Callable[[], Iterator[Any]]
    files: Sequence[str] = ()

    def digest(self) -> str:
        """SHA-256 of the file."""
        return digest_of(self.path)

    def blocks(self, first: int, sizes: Iterable[int]) -> Iterator[Block]:
        """See `Source`."""
        tables = _cut(self.batches(), first, sizes)
        while True:
            try:
                table = next(tables, None)
            except (pyarrow().ArrowException, OSError) as error:
                raise DataError(
                    f"{self.path}: damaged at row {first} or after it ({error}); fetch or write it again"
                ) from None
            if table is None:
                return
            examples = self._examples(table, first)
            yield Block(first, examples.reshape(len(examples), *self.shape), table)
            first += len(examples)

    def _examples(self, table: Any, first: int) -> Array:
        """[B, D] of the smallest type that holds all columns."""
        parts = [_numbers(self.path, table.column(name), name, first) for name in self.names]
        columns = np.empty((sum(map(len, parts)), len(table)), np.result_type(*parts))
        start = 0
        for part in parts:
            columns[start : start + len(part)] = part
            start += len(part)
        return np.ascontiguousarray(columns.T)


def open_parquet(path: Path, shape: tuple[int, ...], columns: Sequence[str]) -> Table:
    """A Parquet file; see `open_source`."""
    pa = pyarrow()

    def opened() -> Any:  # without its defaults, which hold whole row groups in memory
        return pa.parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)

    try:
        with opened() as file:
            schema, data = file.schema_arrow, file.metadata
            groups = [data.row_group(i).total_byte_size for i in range(data.num_row_groups)]
            rows = data.num_rows
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, "Parquet", error) from None
    size = row_bytes(sum(groups), rows, shape)
    at_once = max(1, min(READ_AT_ONCE, 2**23 // size))

    def batches() -> Iterator[Any]:
        with opened() as file:
            yield from file.iter_batches(batch_size=at_once)

    names = choose(path, schema, shape, columns)
    return Table(path, rows, size, names, schema, shape, batches)


def row_bytes(in_file: int, rows: int, shape: tuple[int, ...]) -> int:
    """That a row takes in memory, about: a file may say in little what is then numbers of 8 bytes."""
    return in_file // max(rows, 1) + 8 * math.prod(shape)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse columns that cannot be told apart."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: two columns are named {twice[0]!r}: expected a first line of different names"
        )


def choose(
    path: Path, schema: Any, shape: tuple[int, ...], columns: Sequence[str]
) -> Sequence[str]:
    """The columns that hold examples of this shape."""
    check_names(path, schema.names)
    widths = {field.name: _width(field.type) for field in schema}
    columns = [name for part in columns for name in _named(path, part, schema.names)]
    if unknown := [name for name in columns if name not in widths]:
        raise DataError(
            f"{path}: no column named {unknown[0]!r}; expected some of {_listed(list(widths))}"
        )
    if texts := [name for name in columns if not widths[name]]:
        raise DataError(
            f"{path}: the column {texts[0]!r} is {schema.field(texts[0]).type}: expected numbers"
        )
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(
            f"{path}: --columns names {_listed(twice)} more than once: expected each column once; mind"
            " that FIRST:LAST holds all from one to the other"
        )
    names = columns or [name for name, width in widths.items() if width]
    received, expected = sum(widths[name] for name in names), math.prod(shape)
    if received != expected:
        raise DataError(
            f"{path}: {received} numbers in a row ({_listed(names)}), this model takes {expected};"
            " say which columns by --columns NAME,NAME or FIRST:LAST, in the order of the training data"
        )
    return names


def _named(path: Path, part: str, names: list[str]) -> list[str]:
    """The column of this name or, of FIRST:LAST, all from one to the other in the file's order."""
    first, _, last = part.partition(":")
    if part in names or first not in names or last not in names:
        return [part]
    if names.index(first) > names.index(last):
        raise DataError(
            f"{path}: --columns {part}: {last!r} stands before {first!r}; expected FIRST:LAST in the"
            f" order of the file, {last}:{first}"
        )
    return names[names.index(first) : names.index(last) + 1]


def _width(kind: Any) -> int:
    """How many numbers a column of this type adds to an example."""
    types = pyarrow().types
    if types.is_fixed_size_list(kind):
        return int(kind.list_size) * min(_width(kind.value_type), 1)
    return int(types.is_integer(kind) or types.is_floating(kind))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "") or "none"


def _numbers(path: Path, column: Any, name: str, first: int) -> Array:
    """[width, B] of a column."""
    column = column.combine_chunks()
    values = column
    if pyarrow().types.is_fixed_size_list(column.type) and not column.null_count:
        values = column.flatten()
    if values.null_count:
        index = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
        row = first + index // max(len(values) // max(len(column), 1), 1)
        raise DataError(f"{path}: row {row} has no value in the column {name!r}; drop or fill it")
    numbers: Array = values.to_numpy(zero_copy_only=False)
    return numbers.reshape(len(column), -1).T


def _cut(batches: Iterator[Any], first: int, sizes: Iterable[int]) -> Iterator[Any]:
    """Tables of these sizes, from row `first` on."""
    from_batches = pyarrow().Table.from_batches
    held: list[Any] = []
    skip = first
    for size in sizes:
        while sum(batch.num_rows for batch in held) < size:
            batch = next(batches, None)
            if batch is None:
                raise pyarrow().ArrowInvalid("it ends before its last row")
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            held.append(batch.slice(skip))
            skip = 0
        table = from_batches(held)
        yield table.slice(0, size)
        held = table.slice(size).to_batches()


def unreadable(path: Path, kind: str, error: Exception) -> DataError:
    """The error where a file is not what its ending says."""
    text = str(error).splitlines()[0]
    return DataError(f"{path}: not a readable {kind} file ({text}); write it again")
