"""A folder as a store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from aegan.errors import IntegrityError, PreconditionError, StoreError
from aegan.store import Staged, check_name, files_below
from aegan.transfers import (
    TEMPORARY,
    copied,
    digest_of,
    in_parallel,
    plain_files,
    publishable,
    readable,
    writable,
)

ATTEMPTS = 100

_LOCK = f"{TEMPORARY}lock"


class LocalStore:
    """A folder. Generations are derived from the bytes, which hold a time or a digest here."""

    def __init__(self, path: str):
        self.root = Path(path).expanduser().absolute()
        self.uri = str(self.root)

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def list(self, prefix: str) -> list[str]:
        base = self._path(prefix) if prefix else self.root
        below = files_below(base)
        if not below and base.is_file():
            return [prefix]
        names = (path.relative_to(self.root) for path in below)
        return sorted(name.as_posix() for name in names if not name.parts[0].startswith(TEMPORARY))

    def marks(self, prefix: str) -> dict[str, tuple[int, str]]:
        found = {}
        for name in self.list(prefix):
            path = self.root / name  # as it was listed, whatever name others gave it
            # Suppressed where it was deleted while it was looked at.
            with readable(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                status = path.stat()
                found[name] = (status.st_size, str(status.st_mtime_ns))
        return found

    def written(self, prefix: str) -> dict[str, float]:
        return {name: int(mark) / 1e9 for name, (_, mark) in self.marks(prefix).items()}

    def read(self, name: str) -> bytes | None:
        return self.read_versioned(name)[0]

    def read_versioned(self, name: str) -> tuple[bytes | None, int]:
        try:
            content = self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None, 0
        except OSError as error:
            raise StoreError(f"cannot read {self._path(name)}: {error.strerror}") from error
        return content, int.from_bytes(hashlib.sha256(content).digest()[:7], "big") + 1

    def write(self, name: str, content: bytes, *, if_generation: int | None = None) -> None:
        target = self._path(name)
        with writable(target), self._temporary() as temporary:
            with _durable(temporary) as file:
                file.write(content)
            _with_folder(target, lambda: self._move(temporary, target, name, if_generation))

    def _move(self, temporary: Path, target: Path, name: str, if_generation: int | None) -> None:
        if if_generation is None:
            temporary.replace(target)
        elif if_generation == 0:
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise PreconditionError(f"{target} exists already") from None
        else:
            with _locked(self.root / _LOCK):
                if self.read_versioned(name)[1] != if_generation:
                    raise PreconditionError(f"{target} was changed by someone else meanwhile")
                temporary.replace(target)

    def upload(self, folder: Path, prefix: str) -> None:
        target = self._path(prefix)
        with writable(target):
            for path in files_below(folder):
                copy = target / path.relative_to(folder)
                with self._temporary() as temporary:
                    with path.open("rb") as source, _durable(temporary) as file:
                        shutil.copyfileobj(source, file)
                    _with_folder(copy, functools.partial(temporary.replace, copy))

    def fetch(self, prefix: str, scratch: Path) -> Path:
        return self._path(prefix)

    @contextlib.contextmanager
    def stage(self, folder: Path) -> Iterator[Staged]:
        names = publishable(folder)
        staging = self.root / f"{TEMPORARY}{uuid.uuid4().hex}"

        def place(prefix: str) -> None:
            """All at once."""
            target = self._path(prefix)
            with writable(target):
                _with_folder(target, lambda: _become(staging, target))

        try:
            with readable(folder):
                digests = copied(folder, staging, names)
            yield Staged(digests, place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def digests(self, prefix: str) -> dict[str, str]:
        folder = self._path(prefix)
        with readable(folder):
            names = plain_files(_no_link(folder))
            return dict(
                zip(names, in_parallel(lambda name: digest_of(folder / name), names), strict=True)
            )

    def download(self, prefix: str, folder: Path) -> dict[str, str]:
        source = self._path(prefix)
        with readable(source):
            return copied(source, folder, plain_files(_no_link(source)))

    def tidy(self, before: float) -> None:
        for path in self.root.glob(f"{TEMPORARY}*"):
            with contextlib.suppress(OSError):  # another tidied up, or may and we may not
                if path.name != _LOCK and path.lstat().st_mtime < before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def delete(self, prefix: str) -> None:
        target = self._path(prefix)
        doomed = self.root / f"{TEMPORARY}{uuid.uuid4().hex}"
        with writable(target):
            try:  # At once, for readers and for those who write into it meanwhile, file or folder.
                target.rename(doomed)
            except (FileNotFoundError, NotADirectoryError):  # nothing there, or someone was faster
                return
            if doomed.is_symlink() or not doomed.is_dir():
                doomed.unlink()
                return
            for _ in range(ATTEMPTS):
                shutil.rmtree(doomed, ignore_errors=True)
                if not doomed.exists():  # else a file that was on its way arrived meanwhile
                    break

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A name for a file in the making: not beside its target, where readers would see it.

        If the process is killed, a published version keeps its files and no others.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def _no_link(folder: Path) -> Path:
    """Refuse a folder that is itself a link; those above it may be."""
    if folder.is_symlink():
        raise IntegrityError(f"{folder} is a symbolic link; expected plain files")
    return folder


@contextlib.contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    """A new file, which is on disk at the end of the block: what names it may be there after that."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _with_folder(target: Path, write: Callable[[], object]) -> None:
    """Make the target's folder, then write; again if someone deleted the folder in between."""
    for attempt in range(ATTEMPTS):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write()
            return
        except (FileNotFoundError, FileExistsError):  # the latter if it goes while it is looked at
            if attempt == ATTEMPTS - 1:
                raise


def _become(staging: Path, target: Path) -> None:
    """Rename a folder; where the target has files, another was faster, with the same ones."""
    try:
        staging.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
