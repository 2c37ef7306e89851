"""A folder or a `gs://` prefix behind one small interface.

Objects have slash-separated names below the store's root. Writing one object is atomic: readers see
the old bytes or the new. A write can be made conditional on the object's *generation*, a number that
changes with every write and is 0 for an object that does not exist; that is what create-only files
and compare-and-swap are built from.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from aegan.errors import StoreError


def in_bucket(path: str | Path) -> bool:
    """Whether a path is meant to lie in a bucket: as a `Path`, it has one slash where a URI has two."""
    return str(path).startswith("gs:/")


@dataclass(frozen=True)
class Staged:
    """Files that are ready to appear in a store, and whose digests are known.

    Attributes:
        digests: SHA-256 in hex by path.
        place: makes all files appear below a prefix; what appears are the bytes that were hashed.
    """

    digests: Mapping[str, str]
    place: Callable[[str], None]


class Store(Protocol):
    """What the rest of the package needs of a folder or a bucket."""

    uri: str

    def list(self, prefix: str) -> list[str]:
        """Names of all objects below `prefix`, sorted; empty if there are none.

        Raises:
            StoreError: not all of them can be listed.
        """

    def marks(self, prefix: str) -> dict[str, tuple[int, str]]:
        """Size in bytes and a mark of each object below `prefix`, from the listing alone.

        The mark changes with the contents (a bucket's checksum) or when they are written (in a folder).
        """

    def written(self, prefix: str) -> dict[str, float]:
        """When each object below `prefix` was written, in seconds since 1970, from the listing."""

    def read(self, name: str) -> bytes | None:
        """The object's bytes, or None if it does not exist."""

    def read_versioned(self, name: str) -> tuple[bytes | None, int]:
        """The object's bytes and generation; (None, 0) if it does not exist."""

    def write(self, name: str, content: bytes, *, if_generation: int | None = None) -> None:
        """Write one object atomically.

        Args:
            name: the object's name below the root.
            content: its bytes.
            if_generation: write only if the object still has this generation (0: does not exist).

        Raises:
            PreconditionError: the generation is another. Either nothing was written, or it was and
                the answer got lost: who must know puts something of their own into the bytes.
        """

    def upload(self, folder: Path, prefix: str) -> None:
        """Copy every file of a local folder to `prefix`, in no particular order."""

    def fetch(self, prefix: str, scratch: Path) -> Path:
        """A local folder with all objects below `prefix`: in place if local, else under scratch."""

    def stage(self, folder: Path) -> AbstractContextManager[Staged]:
        """Hash each plain file of a local folder, so that `place` can make them appear.

        A folder copies what it hashes. A bucket reads again to upload, and takes only what was hashed.

        Raises:
            IntegrityError: something in it is no plain file, or a file was changed meanwhile.
            StoreError: a file has a name that no reader would accept, or cannot be read.
        """

    def digests(self, prefix: str) -> dict[str, str]:
        """SHA-256 of each object below `prefix`, by its path there; keeps nothing on disk.

        Raises:
            IntegrityError: something there is no plain file.
        """

    def download(self, prefix: str, folder: Path) -> dict[str, str]:
        """Copy all objects below `prefix` into a local folder; SHA-256 of what was written, by path.

        Raises:
            IntegrityError: something there is no plain file.
        """

    def tidy(self, before: float) -> None:
        """Delete what killed writers left half-made before this time, in seconds since 1970."""

    def delete(self, prefix: str) -> None:
        """Delete the object of this name and all objects below it."""


def open_store(uri: str) -> Store:
    """The store at a folder's path or at `gs://bucket/prefix`. Reaches nothing yet."""
    from aegan.gcs_store import GcsStore
    from aegan.local_store import LocalStore

    if not uri:
        raise StoreError("no folder was given: expected a folder or gs://bucket/path")
    if uri.startswith("gs://"):
        return GcsStore(uri)
    if "://" in uri:
        raise StoreError(
            f"cannot open {uri}: expected a folder or gs://bucket/path,"
            f" received the scheme {uri.split('://')[0]!r}"
        )
    return LocalStore(uri)


def check_name(name: str) -> str:
    """Refuse names that could lead outside the root; returns the name."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise StoreError(
            f"unsafe object name {name!r}: expected a relative path without '..' or backslash"
        )
    if not is_text(name):
        raise StoreError(f"unsafe object name {name!r}: expected a name in UTF-8; rename the file")
    return name


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, which no system asks for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_file_name(name: str) -> str:
    """Refuse what is not the one plain way to write a relative path; returns the name."""
    if check_name(name) != PurePosixPath(name).as_posix():
        raise StoreError(
            f"unsafe object name {name!r}: expected a relative path without '.' or '//'"
        )
    return name


def below_others(names: Iterable[str]) -> set[str]:
    """Those names that lie below another, as can be in a bucket and not in a folder."""
    known = set(names)
    return {
        name
        for name in known
        if any(parent.as_posix() in known for parent in PurePosixPath(name).parents)
    }


def check_writable(store: Store) -> None:
    """Prove, before any expensive work, that the store can be written, listed and deleted from."""
    probe = f".aegan-write-check-{uuid.uuid4().hex}"
    store.write(probe, b"aegan")
    if store.read(probe) != b"aegan":
        raise StoreError(f"{store.uri}: what was written could not be read back")
    store.delete(probe)


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, sorted; empty if there is no such folder.

    Links to files count, links to folders do not. What vanishes while it is looked at is left out.

    Raises:
        StoreError: part of it cannot be read; to leave that out would be to say that nothing is there.
    """
    found, pending = [], [folder]
    while pending:
        below = pending.pop()
        try:
            with os.scandir(below) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(below / entry.name)
                    elif _is_file(entry):
                        found.append(below / entry.name)
        except (FileNotFoundError, NotADirectoryError):  # vanished meanwhile
            continue
        except OSError as error:
            raise StoreError(
                f"cannot read {error.filename or below}: {error.strerror or error}"
            ) from error
    return sorted(found)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # a link that leads nowhere
            return False
        raise
