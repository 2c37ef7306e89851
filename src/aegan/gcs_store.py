"""A prefix of a Google Cloud Storage bucket as a store."""

from __future__ import annotations

import builtins
import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aegan import gcs_blobs
from aegan.errors import IntegrityError, StoreError
from aegan.gcs_blobs import contents, patience, receive
from aegan.gcs_errors import explained
from aegan.store import Staged, below_others, check_file_name, check_name, files_below
from aegan.transfer_progress import upload_source
from aegan.transfers import WORKERS, checksums, in_parallel, publishable, readable

READ_ATTEMPTS = 10


class GcsStore:
    """A prefix of a Google Cloud Storage bucket; credentials are the application defaults."""

    def __init__(self, uri: str):
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        if not bucket:
            raise StoreError(f"{uri!r} names no bucket: expected gs://bucket/path")
        self._bucket_name, self._prefix = bucket, prefix.strip("/")
        self.uri = f"gs://{bucket}/{self._prefix}".rstrip("/")

    @functools.cached_property
    def _bucket(self) -> Any:
        with explained(self.uri):
            client = _client(os.environ.get("STORAGE_EMULATOR_HOST"), os.getpid())
            return client.bucket(self._bucket_name)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{check_name(name)}".lstrip("/")

    def list(self, prefix: str) -> list[str]:
        return [name for name, _ in self._below(prefix)]

    def marks(self, prefix: str) -> dict[str, tuple[int, str]]:
        return {name: (int(blob.size), str(blob.crc32c)) for name, blob in self._below(prefix)}

    def written(self, prefix: str) -> dict[str, float]:
        return {name: blob.updated.timestamp() for name, blob in self._below(prefix)}

    def _below(self, prefix: str) -> builtins.list[tuple[str, Any]]:
        base = self._key(prefix) if prefix else self._prefix
        found = self._blobs(base, f"{self.uri}/{prefix}")
        names = ((key[len(self._prefix) :].lstrip("/"), key) for key in found if key[-1] != "/")
        return [(name, found[key]) for name, key in sorted(names)]

    def _blobs(self, base: str, where: str) -> dict[str, Any]:
        """The object of this key and all below it, by key; also those that stand for folders."""
        with explained(where):
            client = self._bucket.client
            found = client.list_blobs(self._bucket, prefix=base, **patience())
            blobs = {blob.name: blob for blob in found}
        return {
            key: blob
            for key, blob in blobs.items()
            if not base or key == base or key.startswith(f"{base}/")
        }

    def read(self, name: str) -> bytes | None:
        from google.api_core.exceptions import NotFound

        with explained(f"{self.uri}/{name}"):
            try:
                return contents(self._bucket.blob(self._key(name)))
            except NotFound:
                return None

    def first_byte(self, name: str) -> bytes:
        """Proves that an object can be read, without downloading it; raises StoreError if not."""
        with explained(f"{self.uri}/{name}"):
            blob = self._bucket.blob(self._key(name))
            return bytes(blob.download_as_bytes(start=0, end=0, **patience()))

    def read_versioned(self, name: str) -> tuple[bytes | None, int]:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with explained(f"{self.uri}/{name}"):
            for _ in range(READ_ATTEMPTS):
                blob = self._bucket.get_blob(self._key(name), **patience())
                if blob is None:
                    return None, 0
                generation = int(blob.generation)
                try:
                    return contents(blob, if_generation_match=generation), generation
                except (NotFound, PreconditionFailed):
                    continue  # replaced or deleted between the two requests
        raise StoreError(f"{self.uri}/{name} changes faster than it can be read; try again")

    def write(self, name: str, content: bytes, *, if_generation: int | None = None) -> None:
        blob = self._bucket.blob(self._key(name))
        with explained(f"{self.uri}/{name}"):
            blob.upload_from_string(
                content,
                content_type="application/octet-stream",
                if_generation_match=if_generation,
                checksum="crc32c",
                **patience(),
            )

    def upload(self, folder: Path, prefix: str) -> None:
        from google.cloud.storage import transfer_manager

        names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
        with explained(f"{self.uri}/{prefix}"):
            transfer_manager.upload_many_from_filenames(
                self._bucket,
                names,
                source_directory=str(folder),
                blob_name_prefix=f"{self._key(prefix)}/",
                upload_kwargs={"checksum": "crc32c", **patience()},
                worker_type=transfer_manager.THREAD,
                raise_exception=True,
            )

    def fetch(self, prefix: str, scratch: Path) -> Path:
        blobs = dict(self._below(prefix))
        in_parallel(
            lambda name: receive(blobs[name], scratch / check_name(name), durable=False),
            blobs,
        )
        return scratch / prefix

    @contextlib.contextmanager
    def stage(self, folder: Path) -> Iterator[Staged]:
        names = publishable(folder)
        with readable(folder):
            sums = in_parallel(lambda name: checksums(folder / name), names)
        crc32cs = {name: crc32c for name, (_, crc32c) in zip(names, sums, strict=True)}
        digests = {name: digest for name, (digest, _) in zip(names, sums, strict=True)}
        yield Staged(digests, lambda prefix: self._place(folder, prefix, crc32cs))

    def _place(self, folder: Path, prefix: str, crc32cs: dict[str, str]) -> None:
        """Upload files; the bucket takes nothing but what was hashed."""
        from google.cloud.storage import transfer_manager

        try:
            with explained(f"{self.uri}/{prefix}"), contextlib.ExitStack() as opened:
                pairs = []
                for name, crc32c in crc32cs.items():
                    blob = self._bucket.blob(self._key(f"{prefix}/{name}"))
                    blob.crc32c = crc32c
                    pairs.append((upload_source(folder / name, gcs_blobs.PIECE, opened), blob))
                transfer_manager.upload_many(
                    pairs,
                    upload_kwargs={"checksum": None, **patience()},
                    worker_type=transfer_manager.THREAD,
                    max_workers=WORKERS,
                    raise_exception=True,
                )
        except StoreError:
            for name, crc32c in crc32cs.items():
                if not _holds(folder / name, crc32c):
                    raise IntegrityError(
                        f"{folder}: {name} was changed while it was uploaded; nothing was published,"
                        " publish a folder that nobody writes to"
                    ) from None
            raise

    def digests(self, prefix: str) -> dict[str, str]:
        return self._received(prefix, None)

    def download(self, prefix: str, folder: Path) -> dict[str, str]:
        return self._received(prefix, folder)

    def _received(self, prefix: str, folder: Path | None) -> dict[str, str]:
        blobs = {
            check_file_name(name.removeprefix(f"{prefix}/")): blob
            for name, blob in self._below(prefix)
        }
        misplaced = below_others(blobs)  # no folder can hold them: only their digests are known

        def received(name: str) -> str:
            path = None if folder is None or name in misplaced else folder / name
            return receive(blobs[name], path)

        digests = in_parallel(received, blobs)
        return dict(zip(blobs, digests, strict=True))

    def tidy(self, before: float) -> None:
        """An object is there, whole, or not at all."""

    def delete(self, prefix: str) -> None:
        from google.api_core.exceptions import NotFound

        def delete(key: str) -> None:
            with contextlib.suppress(NotFound):  # another was faster
                self._bucket.blob(key).delete(**patience())

        where = f"{self.uri}/{prefix}"
        with explained(where):  # by the keys that were listed, whatever names others gave them
            in_parallel(delete, self._blobs(self._key(prefix), where))


@functools.cache
def _client(emulator: str | None, process: int) -> Any:
    """The client of all stores, for its token and its connections; not shared with forked processes."""
    from google.cloud import storage

    # The emulator wants a project, and takes any; buckets of the real service need none.
    return storage.Client(project="emulator" if emulator else None)


def _holds(path: Path, crc32c: str) -> bool:
    try:
        return checksums(path)[1] == crc32c
    except OSError:
        return False
