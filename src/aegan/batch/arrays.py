"""Rows of a .npy file, or of one array in an .npz, read one after the other."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from aegan.batch.source import Block, digest_of, readable
from aegan.data.sources import EXAMPLE_KEYS
from aegan.errors import DataError

KEYS = (*EXAMPLE_KEYS, "samples", "reconstructions")
SKIPPED_AT_ONCE = 2**22
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
"""What zipfile raises where a file is damaged, encrypted or compressed in a way that it cannot read."""


@dataclass(frozen=True)
class ArrayFile:
    """An array [N, ...] in a file.

    Attributes:
        path: of the file.
        where: the file and, in an .npz, the array.
        shape: of the array.
        dtype: of the array.
        open: the array's bytes, at its first row.
    """

    path: Path
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    open: Callable[[], contextlib.AbstractContextManager[IO[bytes]]]
    names: Sequence[str] = ()
    schema: Any = None
    files: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """N."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def digest(self) -> str:
        """SHA-256 of the file."""
        return digest_of(self.path)

    def blocks(self, first: int, sizes: Iterable[int]) -> Iterator[Block]:
        """See `Source`."""
        with readable(self.path), self.open() as stream:
            self._read(stream, first * self.row_bytes, first, keep=False)
            for size in sizes:
                content = self._read(stream, size * self.row_bytes, first, keep=True)
                examples = np.frombuffer(content, self.dtype).reshape(size, *self.shape[1:])
                yield Block(first, examples)
                first += size

    def _read(self, stream: IO[bytes], count: int, row: int, *, keep: bool) -> bytes:
        """The next bytes; none if they are not to be kept."""
        try:
            if keep:
                content = stream.read(count)
            elif not isinstance(stream, zipfile.ZipExtFile):
                stream.seek(count, os.SEEK_CUR)
                return b""
            else:
                while count > 0 and (content := stream.read(min(count, SKIPPED_AT_ONCE))):
                    count -= len(content)
                return b""
        except DAMAGE as error:
            raise DataError(
                f"{self.where}: damaged at row {row} or after it ({error}); fetch or write it again"
            ) from None
        if len(content) != count:
            raise DataError(f"{self.where}: ends at row {row} or after it; fetch or write it again")
        return content


@dataclass(frozen=True)
class ColumnMajorFile(ArrayFile):
    """A .npy file in Fortran order, as of a transposed array: rows are gathered from all over it."""

    def blocks(self, first: int, sizes: Iterable[int]) -> Iterator[Block]:
        """See `Source`."""
        for size in sizes:
            # Mapped anew, so that the pages that were touched are let go.
            with readable(self.path):
                mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
            yield Block(first, np.ascontiguousarray(mapped[first : first + size]))
            first += size


def open_npy(path: Path, shape: tuple[int, ...]) -> ArrayFile:
    """A .npy file; see `open_source`."""
    with path.open("rb") as stream:
        found, fortran, dtype = _header(stream, str(path))
        start = stream.tell()
    _check(str(path), found, dtype, shape)
    size, expected = path.stat().st_size, start + math.prod(found) * dtype.itemsize
    if size != expected:
        raise DataError(
            f"{path}: its header announces {list(found)} {dtype} = {expected} bytes, received {size}:"
            " truncated or padded; fetch or write it again"
        )

    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with path.open("rb") as stream:
            stream.seek(start)
            yield stream

    kind = ColumnMajorFile if fortran and len(found) > 1 else ArrayFile
    return kind(path, str(path), found, dtype, opened)


def open_npz(path: Path, shape: tuple[int, ...], columns: Sequence[str]) -> ArrayFile:
    """One array of an .npz; see `open_source`."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {item.filename: item.file_size for item in archive.infolist()}
            name = _choose(
                path, [n.removesuffix(".npy") for n in sizes if n.endswith(".npy")], columns
            )
            member, where = f"{name}.npy", f"{path}: {name}"
            with archive.open(member) as stream:
                found, fortran, dtype = _header(stream, where)
                start = stream.tell()
    except DAMAGE as error:
        raise DataError(f"{path}: not a readable .npz file ({error}); write it again") from None
    _check(where, found, dtype, shape)
    if fortran and len(found) > 1:
        raise DataError(
            f"{where} is stored column by column, and cannot be read row by row from an .npz; save it"
            " with numpy.save, or numpy.ascontiguousarray(…) of it"
        )
    expected = start + math.prod(found) * dtype.itemsize
    if sizes[member] != expected:
        raise DataError(
            f"{where}: its header announces {list(found)} {dtype} = {expected} bytes, received"
            f" {sizes[member]}: truncated or padded; fetch or write it again"
        )

    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            stream.read(start)
            yield stream

    return ArrayFile(path, where, found, dtype, opened)


def _choose(path: Path, names: list[str], columns: Sequence[str]) -> str:
    """The array that was asked for, the one with a usual name, or the only one."""
    if len(columns) > 1:
        raise DataError(f"{path}: expected the name of one array, received {', '.join(columns)}")
    for key in columns or KEYS:
        if key in names:
            return key
    if len(names) == 1 and not columns:
        return names[0]
    raise DataError(
        f"{path}: no array named {' or '.join(columns or KEYS)}; it holds {', '.join(names) or 'none'};"
        " say which by --columns NAME"
    )


def _header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, dtype."""
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(stream)
        else:
            raise ValueError(f"format {version}")
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        text = str(error).splitlines()[0]
        raise DataError(
            f"{where}: not a readable NumPy file ({text}); write it again with numpy.save or numpy.savez"
        ) from None
    return tuple(map(int, shape)), bool(fortran), dtype


def _check(
    where: str, found: tuple[int, ...], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise DataError(
            f"{where} holds {dtype}: expected integers or floats of at most 64 bits (nothing pickled)"
        )
    without_channel = shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape
    if found[1:] not in (shape, without_channel) or not found:
        raise DataError(
            f"{where} has the shape {list(found)}: this model takes"
            f" [N, {', '.join(map(str, shape))}]; reshape it, or use another model"
        )


def npy_header(rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """What a .npy file of an array [rows, *shape] begins with."""
    buffer = io.BytesIO()
    tree = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, *shape)}
    npy.write_array_header_1_0(buffer, tree)
    return buffer.getvalue()
