"""A folder or a `gs://` prefix behind one small interface.

Objects have slash-separated names below the store's root. Writing one object is atomic: readers see
the old bytes or the new. A write can be made conditional on the object's *generation*, a number that
changes with every write and is 0 for an object that does not exist; that is what create-only files
and compare-and-swap are built from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from aegan.errors import PreconditionError, StoreError

READ_ATTEMPTS = 10

_TEMPORARY = ".aegan-tmp-"


class Store(Protocol):
    """What the rest of the package needs of a folder or a bucket."""

    uri: str

    def list(self, prefix: str) -> list[str]:
        """Names of all objects below `prefix`, sorted; empty if there are none."""

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
            PreconditionError: the generation is another; nothing was written.
        """

    def upload(self, folder: Path, prefix: str) -> None:
        """Copy every file of a local folder to `prefix`, in no particular order."""

    def fetch(self, prefix: str, scratch: Path) -> Path:
        """A local folder with all objects below `prefix`: in place if local, else under scratch."""

    def delete(self, prefix: str) -> None:
        """Delete the object of this name and all objects below it."""


def open_store(uri: str) -> Store:
    """The store at a folder's path or at `gs://bucket/prefix`. Reaches nothing yet."""
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
        raise StoreError(f"unsafe object name {name!r}: expected a relative path without '..'")
    return name


def check_writable(store: Store) -> None:
    """Prove, before any expensive work, that the store can be written, listed and deleted from."""
    probe = f".aegan-write-check/{uuid.uuid4().hex}"
    store.write(probe, b"aegan")
    if store.read(probe) != b"aegan":
        raise StoreError(f"{store.uri}: what was written could not be read back")
    store.delete(probe)


class LocalStore:
    """A folder. Generations are derived from the bytes, which hold a time or a digest here."""

    def __init__(self, path: str):
        self.root = Path(path).expanduser().absolute()
        self.uri = str(self.root)

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def list(self, prefix: str) -> list[str]:
        base = self._path(prefix) if prefix else self.root
        if base.is_file():
            return [prefix]
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in base.rglob("*")
            if not path.is_dir() and not path.name.startswith(_TEMPORARY)
        )

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
        with self._explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
            try:
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                self._move(temporary, target, name, if_generation)
            finally:
                temporary.unlink(missing_ok=True)

    def _move(self, temporary: Path, target: Path, name: str, if_generation: int | None) -> None:
        if if_generation is None:
            temporary.replace(target)
        elif if_generation == 0:
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise PreconditionError(f"{target} exists already") from None
        else:
            with _locked(target.parent / f"{_TEMPORARY}lock"):
                if self.read_versioned(name)[1] != if_generation:
                    raise PreconditionError(f"{target} was changed by someone else meanwhile")
                temporary.replace(target)

    def upload(self, folder: Path, prefix: str) -> None:
        target = self._path(prefix)
        with self._explained(target):
            for path in _files(folder):
                copy = target / path.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    def fetch(self, prefix: str, scratch: Path) -> Path:
        return self._path(prefix)

    def delete(self, prefix: str) -> None:
        target = self._path(prefix)
        with self._explained(target):
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty, or already gone
                target.parent.rmdir()

    @contextlib.contextmanager
    def _explained(self, target: Path) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(
                f"cannot write {target}: {error.strerror or error};"
                " choose a folder that you may write to and that has room"
            ) from error


class GcsStore:
    """A prefix of a Google Cloud Storage bucket; credentials are the application defaults."""

    def __init__(self, uri: str):
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        if not bucket:
            raise StoreError(f"{uri!r} names no bucket: expected gs://bucket/path")
        self._bucket_name, self._prefix = bucket, prefix.strip("/")
        self.uri = f"gs://{bucket}/{self._prefix}".rstrip("/")
        self._bucket_handle: Any = None

    @property
    def _bucket(self) -> Any:
        if self._bucket_handle is None:
            with self._explained(""):
                from google.cloud import storage

                # The emulator takes any project; a real client finds its own.
                project = "emulator" if os.environ.get("STORAGE_EMULATOR_HOST") else None
                self._bucket_handle = storage.Client(project=project).bucket(self._bucket_name)
        return self._bucket_handle

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{check_name(name)}".lstrip("/")

    def list(self, prefix: str) -> list[str]:
        base = self._key(prefix) if prefix else self._prefix
        with self._explained(prefix):
            keys = [blob.name for blob in self._bucket.client.list_blobs(self._bucket, prefix=base)]
        below = [key for key in keys if not base or key == base or key.startswith(f"{base}/")]
        return sorted(key[len(self._prefix) :].lstrip("/") for key in below if key[-1] != "/")

    def read(self, name: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        with self._explained(name):
            try:
                return bytes(self._bucket.blob(self._key(name)).download_as_bytes())
            except NotFound:
                return None

    def read_versioned(self, name: str) -> tuple[bytes | None, int]:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with self._explained(name):
            for _ in range(READ_ATTEMPTS):
                blob = self._bucket.get_blob(self._key(name))
                if blob is None:
                    return None, 0
                generation = int(blob.generation)
                try:
                    return blob.download_as_bytes(if_generation_match=generation), generation
                except (NotFound, PreconditionFailed):
                    continue  # replaced or deleted between the two requests
        raise StoreError(f"{self.uri}/{name} changes faster than it can be read; try again")

    def write(self, name: str, content: bytes, *, if_generation: int | None = None) -> None:
        blob = self._bucket.blob(self._key(name))
        with self._explained(name):
            blob.upload_from_string(
                content,
                content_type="application/octet-stream",
                if_generation_match=if_generation,
                checksum="crc32c",
            )

    def upload(self, folder: Path, prefix: str) -> None:
        from google.cloud.storage import transfer_manager

        names = [path.relative_to(folder).as_posix() for path in _files(folder)]
        with self._explained(prefix):
            transfer_manager.upload_many_from_filenames(
                self._bucket,
                names,
                source_directory=str(folder),
                blob_name_prefix=f"{self._key(prefix)}/",
                upload_kwargs={"checksum": "crc32c"},
                worker_type=transfer_manager.THREAD,
                raise_exception=True,
            )

    def fetch(self, prefix: str, scratch: Path) -> Path:
        from google.cloud.storage import transfer_manager

        names = self.list(prefix)
        with self._explained(prefix):
            transfer_manager.download_many_to_path(
                self._bucket,
                [check_name(name) for name in names],
                destination_directory=str(scratch),
                blob_name_prefix=f"{self._prefix}/" if self._prefix else "",
                worker_type=transfer_manager.THREAD,
                raise_exception=True,
            )
        return scratch / prefix

    def delete(self, prefix: str) -> None:
        with self._explained(prefix):
            for name in self.list(prefix):
                self._bucket.blob(self._key(name)).delete()

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn the client's exceptions into ours; 412 comes as either of two types."""
        from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import InvalidResponse

        where = f"{self.uri}/{name}".rstrip("/")
        try:
            yield
        except StoreError:
            raise
        except PreconditionFailed:
            raise PreconditionError(f"{where} was written by someone else meanwhile") from None
        except InvalidResponse as error:
            if getattr(error.response, "status_code", None) == 412:
                raise PreconditionError(f"{where} was written by someone else meanwhile") from None
            raise StoreError(f"{where}: {error}") from error
        except GoogleAuthError as error:
            raise StoreError(
                f"no credentials for {where}: {error};"
                " run `gcloud auth application-default login` or mount a service account"
            ) from error
        except NotFound as error:
            raise StoreError(
                f"{where} was not found; check that the bucket exists: {error}"
            ) from error
        except (GoogleAPIError, OSError) as error:
            raise StoreError(f"cannot reach {where}: {error}") from error


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
