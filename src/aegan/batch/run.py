"""What a model says of each row of a file: read, answered and written in blocks of bounded size.

A run that was killed goes on where it stopped; one that has finished is not done again.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from aegan.batch.arrow import pyarrow
from aegan.batch.formats import Format, NpzFormat, ParquetFormat, read_marks
from aegan.batch.parts import Parts, differences, held, refusal, settle
from aegan.batch.results import Operation, marks_of, operation
from aegan.batch.source import Array, Block, Source, open_source
from aegan.batch.stamps import check_same, stamps
from aegan.data.normalizer import LARGEST
from aegan.errors import DataError
from aegan.model import LARGEST_BATCH, Model
from aegan.narration import Progress, Say, narrate
from aegan.transfers import check_local, writable

BLOCK_BYTES = 2**24
BLOCK_ROWS = 2**16
BLOCKS_IN_PART = 16
FINISHED = "was finished earlier, of the same input and model"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        name: `encode`, `score` or `reconstruct`.
        path: of the examples; see `open_source`.
        output: a .parquet or .npz file, or a folder for parts of a Parquet table.
        columns: that hold the examples; see `open_source`.
        shard_rows: rows of a part; None: about 256 MB of the examples.
        overwrite: whether to throw away what lies at `output`.
    """

    name: str
    path: Path
    output: Path
    columns: Sequence[str] = ()
    shard_rows: int | None = None
    overwrite: bool = False


def run(model: Model, request: Request, say: Say = narrate) -> int:
    """Do what is wanted; returns the number of rows, also if all was done already.

    Args:
        model: that is asked.
        request: what is wanted.
        say: is told (stage, event, text) while it goes on.

    Raises:
        DataError: an example, or the output's place, is not as it must be; nothing is lost.
        StoreError: the output cannot be written.
        DependencyError: pyarrow is needed and not installed.
    """
    output = request.output
    check_places(request)
    asked = operation(request.name, model)
    is_npz = output.suffix.lower() == ".npz"
    source = open_source(request.path, model.shape, model.dtype, request.columns)
    form: Format = NpzFormat(source, asked) if is_npz else ParquetFormat(source, asked)
    before = stamps(source)
    say(request.name, "info", f"{source.rows:,} rows in {request.path}")
    marks = marks_of(
        model,
        operation=request.name,
        input=request.path.name,
        input_digest=source.digest(),
        columns=",".join(request.columns) or None,
        rows=source.rows,
    )
    form.mark(marks)
    if _is_done(request, marks):
        say(request.name, "info", f"{output} {FINISHED}")
        return source.rows
    folder = output.with_name(output.name + ".parts") if output.suffix else output
    parts = Parts(folder, form.suffix, marks, source.rows)
    block_rows = _block_rows(source, asked)
    with held(folder):
        usual = block_rows * BLOCKS_IN_PART
        parts.open(request.shard_rows, usual, overwrite=request.overwrite)
        if parts.finished:
            say(request.name, "info", f"{output} {FINISHED}")
            return source.rows
        for number in _answer(model, asked, source, (form, parts), block_rows, say=say):
            check_same(source, before, parts.rows_of(number))
            parts.add(number)
        if output.suffix:
            _join(form, parts, output, source.rows)
        else:
            parts.finish()
    return source.rows


def check_places(request: Request) -> None:
    """Check where the answers shall go, before any work.

    Raises as `run` does.
    """
    output, path = request.output, request.path
    suffix = output.suffix.lower()
    check_local(output)
    if suffix not in ("", ".parquet", ".npz"):
        raise DataError(
            f"{output}: expected a name ending in .parquet or .npz, or one without an ending for a"
            " folder of Parquet files"
        )
    with writable(output):
        if output.exists() and output.is_dir() == bool(suffix):
            raise DataError(
                f"{output} is a {'folder' if output.is_dir() else 'file'}: expected a"
                f" {'file' if suffix else 'folder'} of this name, or nothing; choose another name"
            )
    if output.resolve() == path.resolve():
        raise DataError(f"{output} is the input, too: expected another name for the output")
    if path.resolve() in output.resolve().parents and os.path.isdir(path):
        raise DataError(
            f"{output} lies in the folder that is read, {path}: expected a place outside of it"
        )
    if suffix != ".npz":
        pyarrow()  # missed now and not after the input was read


def _is_done(request: Request, marks: dict[str, str]) -> bool:
    """Whether the one file that was asked for is there; refuses another in its place."""
    output = request.output
    if not output.is_file():
        return False
    found = read_marks(output)
    if differing := differences(marks, found):
        if request.overwrite:
            return False
        if "input_digest" in found:
            raise refusal(output, found, differing)
        raise DataError(
            f"{output} exists, and this command did not write it; choose another name, or replace it"
            " with --overwrite"
        )
    shutil.rmtree(output.with_name(output.name + ".parts"), ignore_errors=True)
    return True


def _block_rows(source: Source, asked: Operation) -> int:
    """Rows that are in memory at a time: whole batches of the model, unless examples are large."""
    rows = BLOCK_BYTES // max(source.row_bytes, asked.row_bytes, 1)
    rows = max(1, min(rows, BLOCK_ROWS))
    return rows // LARGEST_BATCH * LARGEST_BATCH or rows


def _answer(
    model: Model,
    asked: Operation,
    source: Source,
    target: tuple[Format, Parts],
    block_rows: int,
    *,
    say: Say,
) -> Iterator[int]:
    """Write all parts that are missing under a temporary name; yields the number of each."""
    form, parts = target
    missing = parts.missing()
    if not missing:
        return
    first = parts.rows_of(missing[0]).start
    numbers = range(missing[0], len(parts.names))
    sizes = [_sizes(len(parts.rows_of(number)), block_rows) for number in numbers]
    blocks = _ahead(source.blocks(first, itertools.chain.from_iterable(sizes)))
    if first:
        say(asked.name, "info", f"{first:,} rows were done earlier; goes on from there")
    progress = Progress(asked.name, source.rows, done=first, samples=1, unit="row", say=say)
    answer, wanted = asked.of(model), set(missing)
    for number, its_sizes in zip(numbers, sizes, strict=True):
        its_blocks = itertools.islice(blocks, len(its_sizes))
        if number not in wanted:
            for _ in its_blocks:
                pass
            continue
        with form.part(parts.temporary(number), sum(its_sizes)) as part:
            for block in its_blocks:
                part.add(block, _explained(answer, block, source))
                progress.report(block.first + len(block.examples), {})
        yield number


def _sizes(rows: int, block_rows: int) -> list[int]:
    """Of the blocks of a part."""
    whole, rest = divmod(rows, block_rows)
    return [block_rows] * whole + [rest] * bool(rest)


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same, each made by a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _explained(answer: Callable[[Array], Array], block: Block, source: Source) -> Array:
    """The model's answers; an example that it refuses is named."""
    try:
        return answer(block.examples)
    except DataError as error:
        flat = block.examples.reshape(len(block.examples), -1)
        bad = ~(np.abs(flat) <= LARGEST) if flat.dtype.kind == "f" else np.zeros(flat.shape, bool)
        if not bad.any():
            rows = f"rows {block.first} to {block.first + len(flat) - 1}"
            raise DataError(f"{source.path}, {rows}: {error}") from None
        row, place = (int(index) for index in np.argwhere(bad)[0])
        column = (
            f" in the column {source.names[place]!r}" if len(source.names) == bad.shape[1] else ""
        )
        raise DataError(
            f"{source.path}: row {block.first + row} holds {flat[row, place]}{column}: expected no NaN,"
            f" infinity or numbers beyond {LARGEST:g}; drop or fill it"
        ) from None


def _join(form: Format, parts: Parts, output: Path, rows: int) -> None:
    """One file of all parts, which then go."""
    with writable(output):
        paths = [parts.folder / name for name in parts.names]
        whole = parts.folder / ".tmp-whole"
        if len(paths) == 1 and form.suffix == output.suffix.lower():
            whole = paths[0]
        else:
            form.whole(paths, whole, rows)
        settle(whole, output)
        shutil.rmtree(parts.folder)
