"""CSV files as tables: numbers where the examples are, and else the text that stands there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aegan.batch.arrow import pyarrow
from aegan.batch.tables import Table, check_names, choose, row_bytes, unreadable
from aegan.errors import DataError

BLOCK_BYTES = 2**23  # that are parsed at once; no row may be longer


def open_csv(path: Path, shape: tuple[int, ...], columns: Sequence[str]) -> Table:
    """A CSV file with a line of names, in UTF-8; see `open_source`.

    It is read once to find the type of each column and to count rows: a column is of integers or of
    floats if all its values are. Only those that hold examples become numbers: in others a postal code
    would lose its zeros, and an account number its last digits.
    """
    pa = pyarrow()
    try:
        schema, rows = _scan(path, threads=True)
    except pa.ArrowException:
        try:
            schema, rows = _scan(path, threads=False)  # which knows the line
        except pa.ArrowException as error:
            raise unreadable(path, "CSV", error) from None
    if not rows:
        raise _empty(path)
    names = choose(path, schema, shape, columns)
    fields = ((f.name, f.type if f.name in names else pa.string()) for f in schema)
    schema = pa.schema(list(fields))
    types = dict(zip(schema.names, schema.types, strict=True))

    def batches() -> Iterator[Any]:
        convert = pa.csv.ConvertOptions(column_types=types)
        yield from _reader(path, convert_options=convert)

    size = row_bytes(path.stat().st_size, rows, shape)
    return Table(path, rows, size, names, schema, shape, batches)


def _scan(path: Path, *, threads: bool) -> tuple[Any, int]:
    """The schema that all rows fit, and how many there are."""
    pa = pyarrow()
    ladder = (pa.null(), pa.int64(), pa.float64(), pa.string())
    with open(path, encoding="utf-8", newline="") as file:
        try:
            header = file.readline(2**24)
        except UnicodeDecodeError as error:
            raise unreadable(path, "CSV", error) from None
    if not header.strip():
        raise _empty(path)
    # The names come first: every column is read as text, whatever its first rows look like.
    with _reader(path, threads=threads) as reader:
        names = reader.schema.names
    check_names(path, names)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
    )
    steps, rows = [0] * len(names), 0
    with _reader(path, threads=threads, convert_options=convert) as reader:
        for batch in reader:
            rows += batch.num_rows
            for index, column in enumerate(batch.columns):
                while not _fits(column, ladder[steps[index]]):
                    steps[index] += 1
    types = [ladder[step] if step else pa.string() for step in steps]
    return pa.schema(list(zip(names, types, strict=True))), rows


def _reader(path: Path, *, threads: bool = True, **options: Any) -> Any:
    """Record batches; texts may go over several lines."""
    csv = pyarrow().csv
    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=threads),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        **options,
    )


def _fits(column: Any, kind: Any) -> bool:
    pa = pyarrow()
    if pa.types.is_null(kind):
        return bool(column.null_count == len(column))
    try:
        column.cast(kind)
    except pa.ArrowException:
        return False
    return True


def _empty(path: Path) -> DataError:
    return DataError(f"{path} holds no rows: expected a line of names, and examples below it")
