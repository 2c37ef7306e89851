"""A prefix of a Google Cloud Storage bucket as a store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aegan.errors import PreconditionError, StoreError
from aegan.store import check_name, files_below

READ_ATTEMPTS = 10


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

        names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
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
