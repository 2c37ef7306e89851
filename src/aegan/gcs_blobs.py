"""What one object of a bucket takes: how long to try, and its bytes, whole and undamaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aegan.errors import StoreError
from aegan.gcs_errors import explained
from aegan.retries import attempts
from aegan.transfers import HashedFile

DEADLINE_SECONDS = 120.0
"""What fails in passing (429, 5xx, time-outs, broken connections) is tried again for so long, each
request on its own, of which a large object takes many; an object that arrived damaged is fetched anew
for so long. No request that was begun is cut off by it."""
TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and from one piece of an answer to the next."""
PIECE = 2**24
"""Bytes of an object that are asked for at once, and held in memory by each of several threads."""
FIRST_PAUSE_SECONDS = 1.0
"""Before the second attempt at most so long; each further pause is up to twice as long."""


def patience() -> dict[str, Any]:
    """What each request is given: safe here also for writes, see `Store.write`."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_timeout(DEADLINE_SECONDS).with_delay(
        initial=FIRST_PAUSE_SECONDS, maximum=10 * FIRST_PAUSE_SECONDS
    )
    return {"retry": retry, "timeout": TIMEOUT_SECONDS}


def contents(blob: Any, **conditions: int) -> bytes:
    """All bytes of an object; again where they arrived damaged.

    Raises:
        StoreError: they did so for DEADLINE_SECONDS.
    """
    from google.cloud.storage.exceptions import DataCorruption

    for _ in attempts(DEADLINE_SECONDS, pause=FIRST_PAUSE_SECONDS):
        with contextlib.suppress(DataCorruption):
            return bytes(blob.download_as_bytes(**conditions, **patience()))
    raise _damaged(blob)


def receive(blob: Any, path: Path | None, *, durable: bool = True) -> str:
    """Download one object, whole, to a new file or nowhere; its SHA-256.

    Raises:
        StoreError: it cannot be read, or arrived damaged for DEADLINE_SECONDS.
    """
    with explained(_uri(blob)):
        for _ in attempts(DEADLINE_SECONDS, pause=FIRST_PAUSE_SECONDS):
            with HashedFile(path, with_crc32c=True, durable=durable) as file:
                for piece in _pieces(blob):
                    file.write(piece)
            if file.crc32c == blob.crc32c:  # else it arrived damaged
                return file.digest
    raise _damaged(blob)


def _pieces(blob: Any) -> Iterator[bytes]:
    """An object's bytes, in pieces that are each tried again alone; not checked."""
    options = patience() | {
        "if_generation_match": blob.generation,
        "checksum": None,
        "single_shot_download": True,
    }
    if blob.size <= PIECE:
        yield blob.download_as_bytes(**options)
        return
    for start in range(0, blob.size, PIECE):
        end = min(start + PIECE, blob.size) - 1
        yield blob.download_as_bytes(start=start, end=end, **options)


def _uri(blob: Any) -> str:
    return f"gs://{blob.bucket.name}/{blob.name}"


def _damaged(blob: Any) -> StoreError:
    return StoreError(
        f"{_uri(blob)} arrived damaged, each of many times;"
        " something between here and the bucket changes what passes"
    )
