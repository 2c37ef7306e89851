"""A folder of finished parts: each counts once it has its name, so that work can stop at any time.

`part-00000.parquet` holds the rows 0 … shard_rows - 1, and so on. `_aegan.json` says what they are made
of, and which are finished; programs that read a folder as one table skip files with such names.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aegan.digests import to_json
from aegan.errors import DataError, StoreError
from aegan.transfers import writable

RECORD = "_aegan.json"
TEMPORARY = ".tmp-"
OURS = re.compile(rf"part-\d{{5,}}\.(parquet|npy)|{re.escape(RECORD)}|{re.escape(TEMPORARY)}.*")
IDENTITY = ("operation", "input_digest", "model_digest", "columns")
"""The marks that say of what something was made."""


class Parts:
    """The parts of one output.

    Attributes:
        folder: where they lie.
        shard_rows: rows of each part but the last.
        names: of all parts, in the order of their rows.
    """

    def __init__(self, folder: Path, suffix: str, marks: Mapping[str, str], rows: int):
        """Describe the parts of so many rows; `open` looks at what is there."""
        self.folder, self._suffix, self._marks, self._rows = folder, suffix, dict(marks), rows
        self.shard_rows, self._finished = 0, False
        self._bytes: dict[str, int] = {}

    def open(self, shard_rows: int | None, usual: int, *, overwrite: bool) -> None:
        """Take up the work where it stopped, or begin it.

        Args:
            shard_rows: rows of a part; None: as begun, or else as usual.
            usual: rows of a part where nothing else is said.
            overwrite: whether to throw away what was made of something else.

        Raises:
            DataError: the folder holds parts made of something else, or files that are not parts.
        """
        there = {path.name for path in self.folder.iterdir()}
        if strange := sorted(name for name in there if not OURS.fullmatch(name)):
            raise DataError(
                f"{self.folder} holds other files ({strange[0]}): expected an empty folder, or one that"
                " this command wrote; choose another name"
            )
        record = self._read_record()
        if record is not None:
            shard_rows = shard_rows or record["shard_rows"]
            differing = differences(self._marks, record["marks"])
            if shard_rows != record["shard_rows"]:
                differing.append(f"{record['shard_rows']} rows a part, now {shard_rows}")
            if differing and record["parts"] and not overwrite:
                raise refusal(self.folder, record["marks"], differing)
            if not differing:
                self._bytes, self._finished = record["parts"], record["finished"]
        self.shard_rows = shard_rows or usual
        for name in there:
            size = (self.folder / name).stat().st_size
            if name != RECORD and self._bytes.get(name) != size:
                (self.folder / name).unlink()
                self._bytes.pop(name, None)
        self._bytes = {name: size for name, size in self._bytes.items() if name in there}
        if set(self.names) - set(self._bytes):
            self._finished = False
        self._write_record()

    @property
    def names(self) -> list[str]:
        """Of all parts, in the order of their rows."""
        count = math.ceil(self._rows / self.shard_rows)
        return [f"part-{number:05d}{self._suffix}" for number in range(count)]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self._finished

    def missing(self) -> list[int]:
        """Numbers of the parts that are not finished, in order."""
        return [number for number, name in enumerate(self.names) if name not in self._bytes]

    def rows_of(self, number: int) -> range:
        """The rows of a part."""
        first = number * self.shard_rows
        return range(first, min(first + self.shard_rows, self._rows))

    def temporary(self, number: int) -> Path:
        """Where to write a part; `add` makes it one."""
        return self.folder / f"{TEMPORARY}{self.names[number]}"

    def add(self, number: int) -> None:
        """Let the file at `temporary(number)` be a finished part."""
        name = self.names[number]
        settle(self.temporary(number), self.folder / name)
        self._bytes[name] = (self.folder / name).stat().st_size
        self._write_record()

    def finish(self) -> None:
        """Note that all parts are there."""
        self._finished = True
        self._write_record()

    def _read_record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self.folder / RECORD).read_bytes())
            int(record["shard_rows"]), dict(record["parts"]), dict(record["marks"])
            return record if isinstance(record["finished"], bool) else None
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.folder / RECORD} is damaged ({error!r}); delete the folder, and begin anew"
            ) from None

    def _write_record(self) -> None:
        record = {
            "finished": self._finished,
            "marks": self._marks,
            "parts": self._bytes,
            "rows": self._rows,
            "shard_rows": self.shard_rows,
        }
        temporary = self.folder / f"{TEMPORARY}{RECORD}"
        temporary.write_bytes(to_json(record))
        settle(temporary, self.folder / RECORD)


def settle(temporary: Path, target: Path) -> None:
    """Rename what is safely on the disk."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """In which of the marks that matter two outputs differ, in words."""
    return [
        f"{mark.replace('_', ' ')} {_short(found.get(mark))}, now {_short(wanted.get(mark))}"
        for mark in IDENTITY
        if wanted.get(mark) != found.get(mark)
    ]


def _short(value: str | None) -> str:
    """A mark as it is shown; of a digest, the beginning."""
    text = value or "none"
    return f"{text[:12]}…" if re.fullmatch("[0-9a-f]{64}", text) else text


def refusal(output: Path, found: Mapping[str, str], differing: list[str]) -> DataError:
    """The error where an output was made of something else."""
    origin = f"{found.get('model', 'another model')} {found.get('model_version', '')}".strip()
    return DataError(
        f"{output} was made with {origin} and differs: {'; '.join(differing)}; choose another name, or"
        " begin anew with --overwrite"
    )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes that would write the same output out of it.

    Raises:
        StoreError: another process is at it, or the folder cannot be made or written.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{folder} is being written by another process; wait for it, or choose another name"
            ) from None
        with writable(folder):
            yield
    finally:
        os.close(descriptor)
