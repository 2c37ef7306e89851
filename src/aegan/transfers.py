"""Bytes on their way, hashed as they pass: every file is read once, several at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from aegan.errors import DataError, IntegrityError, StoreError
from aegan.store import check_file_name, in_bucket
from aegan.transfer_progress import passed

WORKERS = 8
CHUNK = 2**19
"""Bytes at a time: few enough to stay in a core's cache between reading, hashing and writing."""
COPIES_A_CORE = 2
"""Files that are hashed and copied at a time, a core."""
LEFTOVER_SECONDS = 24 * 3600.0
TEMPORARY = ".aegan-tmp-"
"""What names in the making begin with."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results in order; the first failure is raised, and what has not begun by then does not."""
    pool = ThreadPoolExecutor(WORKERS, "transfer")
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)


def plain_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted.

    Raises:
        IntegrityError: something in it is neither a plain file nor a folder of such.
    """
    found, pending = [], [""]
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_symlink():
                    raise IntegrityError(
                        f"{folder}: {name} is a symbolic link; expected plain files"
                    )
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    found.append(name)
                else:
                    raise IntegrityError(
                        f"{folder}: {name} is a pipe, socket or device; expected plain files"
                    )
    return sorted(found)


def publishable(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted, each of which readers accept.

    Raises:
        IntegrityError: something in it is neither a plain file nor a folder of such.
        StoreError: a file has a name that no reader would accept, or the folder cannot be read.
    """
    with readable(folder):
        return [check_file_name(name) for name in plain_files(folder)]


@contextlib.contextmanager
def _in_our_words(say: Callable[[OSError], str]) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(say(error)) from error


def readable(folder: Path) -> AbstractContextManager[None]:
    """Say in our words what keeps files from being read."""
    return _in_our_words(
        lambda error: f"cannot read {error.filename or folder}: {error.strerror or error}"
    )


def writable(target: Path | None) -> AbstractContextManager[None]:
    """Say in our words what keeps a file or folder from being written."""
    return _in_our_words(
        lambda error: (
            f"cannot write {target}: {error.strerror or error};"
            " choose a folder that you may write to and that has room"
        )
    )


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A new folder in a folder, for the time of the block; what killed processes left goes."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and path.lstat().st_mtime < time.time() - LEFTOVER_SECONDS:
                shutil.rmtree(path)
    with tempfile.TemporaryDirectory(dir=folder, prefix=TEMPORARY) as name:
        yield Path(name)


def check_local(output: Path) -> None:
    """Refuse to write results anywhere but here.

    Raises:
        DataError: the output lies in a bucket.
    """
    if in_bucket(output):
        raise DataError(f"{output}: expected a local file or folder; copy it there afterwards")


def chunks(path: Path) -> Iterator[memoryview]:
    """The contents of a plain file; a link that took its place meanwhile is not followed.

    Each piece holds good until the next: all are views of one buffer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IntegrityError(f"{path} is a symbolic link; expected plain files") from None
        raise
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IntegrityError(f"{path} is a pipe, socket or device; expected plain files")
        buffer = bytearray(CHUNK)
        view = memoryview(buffer).toreadonly()
        while count := file.readinto(buffer):
            yield view[:count]


def digest_of(path: Path) -> str:
    """SHA-256 of a plain file, in hex."""
    hasher = hashlib.sha256()
    for chunk in chunks(path):
        hasher.update(chunk)
        passed(len(chunk))
    return hasher.hexdigest()


def copied(source: Path, target: Path, names: list[str]) -> dict[str, str]:
    """Copy plain files to a folder of new ones, safe from a power failure; SHA-256 by name, in hex.

    No more files than can be hashed are copied at a time, while others go to disk: were all copied
    at once, all would go to disk at once after that, and the processors would wait.
    """
    turns = threading.Semaphore(COPIES_A_CORE * (os.cpu_count() or 1))

    def copy(name: str) -> str:
        with HashedFile(target / name, durable=True) as file, turns:
            for chunk in chunks(source / name):
                file.write(chunk)
        return file.digest

    return dict(zip(names, in_parallel(copy, names), strict=True))


class HashedFile:
    """A new file that knows the digest of what was written to it; without a path, the digest alone."""

    def __init__(self, path: Path | None, *, with_crc32c: bool = False, durable: bool = False):
        self._path, self._durable = path, durable
        self._file: IO[bytes] | None = None
        self._hasher = hashlib.sha256()
        self._crc32c: Any = _crc32c() if with_crc32c else None

    @property
    def digest(self) -> str:
        """SHA-256 of what was written, in hex."""
        return self._hasher.hexdigest()

    @property
    def crc32c(self) -> str:
        """CRC32C of what was written, base64."""
        return encoded(self._crc32c)

    def __enter__(self) -> Self:
        with writable(self._path):
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file is not None:
            with self._file:
                if kind is None and self._durable:
                    with writable(self._path):
                        os.fsync(self._file.fileno())

    def write(self, chunk: bytes | memoryview) -> int:
        """Write all of it."""
        self._hasher.update(chunk)
        if self._crc32c is not None:
            self._crc32c.update(bytes(chunk))
        if self._file is not None:
            with writable(self._path):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[self._file.write(rest) :]
        passed(len(chunk))
        return len(chunk)


def checksums(path: Path) -> tuple[str, str]:
    """SHA-256 in hex and CRC32C in base64 of a plain file, which is read once."""
    hasher, crc32c = hashlib.sha256(), _crc32c()
    for chunk in chunks(path):
        hasher.update(chunk)
        crc32c.update(bytes(chunk))
    return hasher.hexdigest(), encoded(crc32c)


def encoded(crc32c: Any) -> str:
    """A checksum as the storage service writes it."""
    import base64

    return base64.b64encode(crc32c.digest()).decode()


def _crc32c() -> Any:
    import google_crc32c

    return google_crc32c.Checksum()
