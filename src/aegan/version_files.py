"""The files of a version on disk, each checked when it is read: what runs is what was verified."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from aegan.errors import IntegrityError, RegistryError, StoreError
from aegan.manifest import Manifest
from aegan.published import CURE
from aegan.transfers import digest_of


class VersionFiles:
    """A folder with a version, whose files may be changed or deleted after they were verified.

    Attributes:
        folder: where they lie.
    """

    def __init__(self, folder: Path, manifest: Manifest | None = None):
        """Take a folder and what it must hold; None to take the files as they are."""
        self.folder = folder
        self._digests = None if manifest is None else manifest.files

    def has(self, path: str) -> bool:
        """Whether the version has this file, be it there or not."""
        if self._digests is None:
            return (self.folder / path).is_file()
        return path in self._digests

    def read(self, path: str) -> bytes:
        """One file, read once: what is returned is what was checked.

        Raises:
            RegistryError: it is not there, or no longer.
            IntegrityError: it is not the one that was published.
            StoreError: it cannot be read.
        """
        with self._explained(path):
            content = (self.folder / path).read_bytes()
        self._compare(path, hashlib.sha256(content).hexdigest())
        return content

    def check(self, prefix: str) -> None:
        """Check all files below a folder again, for what reads them itself; errors as of `read`."""
        for path in self._digests or ():
            if path.startswith(f"{prefix}/"):
                with self._explained(path):
                    found = digest_of(self.folder / path)
                self._compare(path, found)

    def _compare(self, path: str, found: str) -> None:
        if self._digests is not None and found != self._digests.get(path):
            raise IntegrityError(
                f"{self.folder / path} was changed after it was verified and is not what was"
                f" published; {CURE}"
            )

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        where = self.folder / path
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            if self._digests is not None and path not in self._digests:
                raise RegistryError(
                    f"{self.folder} was published without {path}: it is no model that aegan trained;"
                    " load another version"
                ) from None
            raise RegistryError(
                f"{where} has gone since the model was verified: someone deleted this copy or this"
                " version; load the model again, or another version"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot read {where}: {error.strerror or error}") from error
