"""Canonical JSON and SHA-256: the bytes that keys, records and manifests are made of."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from aegan.errors import IntegrityError
from aegan.store import Store, files_below


def sha256(path: Path) -> str:
    """Digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(folder: Path) -> dict[str, str]:
    """Digests of all files of a folder and its subfolders, by path below it."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files_below(folder)}


def to_json(tree: Any) -> bytes:
    """Canonical JSON: sorted keys, trailing newline; a float that is no number becomes null."""
    return (json.dumps(_finite(tree), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def read_json(store: Store, name: str) -> dict[str, Any]:
    """What an object of a store says in JSON; nothing if there is no such object.

    Raises:
        IntegrityError: it is damaged.
    """
    return from_json(store.read(name), f"{store.uri}/{name}")


def from_json(content: bytes | None, where: str) -> dict[str, Any]:
    """The same of what was read already; `where` it lies is for the error."""
    if content is None:
        return {}
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"{where} is not the JSON that aegan wrote ({error}); delete it, and run again"
        ) from None


def _finite(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
