"""Holds: what keeps the garbage collection from a version that someone is about to use.

    <root>/models/<name>/holds/<version>.json    {at, condemned, manifest, mark}

Whoever publishes a version or points an alias at it renews its hold first. The garbage collection
condemns a version by the same object, by compare-and-swap, once its hold is a day old: so of the two,
exactly one succeeds, and the other sees it. What is condemned is deleted, if need be by a later
collection, and never published or pointed at again.
"""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from aegan.digests import to_json
from aegan.errors import IntegrityError, PreconditionError, RegistryError
from aegan.retries import attempts
from aegan.store import Store

HOLD_SECONDS = 24 * 3600.0
SWAP_SECONDS = 60.0


@dataclass(frozen=True)
class Hold:
    """A version's hold.

    Attributes:
        at: when it was renewed, in seconds since 1970.
        condemned: whether the version is being deleted.
        manifest: SHA-256 of the manifest that the version has or will have, in hex; "" if not known.
        mark: differs with each writing.
    """

    at: float
    condemned: bool
    manifest: str
    mark: str


def place(name: str, version: str) -> str:
    """Where a version's hold lies below the root."""
    return f"models/{name}/holds/{version}.json"


def read(store: Store, name: str, version: str) -> tuple[Hold | None, int]:
    """A version's hold and its generation; (None, 0) without one."""
    content, generation = store.read_versioned(place(name, version))
    if content is None:
        return None, 0
    try:
        tree: dict[str, Any] = json.loads(content)
        at, condemned = float(tree["at"]), bool(tree["condemned"])
        return Hold(at, condemned, str(tree["manifest"]), str(tree["mark"])), generation
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(
            f"{store.uri}/{place(name, version)} is not a valid hold ({error!r}): delete it, after"
            " the last garbage collection has ended"
        ) from None


def renew(store: Store, name: str, version: str, *, manifest: str = "", begin: bool = True) -> bool:
    """Keep the garbage collection from a version for at least half a day.

    Args:
        store: of the registry.
        name: of the model.
        version: of the model.
        manifest: SHA-256 of its manifest, if this publishes it.
        begin: whether to make a hold where there is none.

    Returns:
        Whether it is held; False where another manifest was or is being published under its name.

    Raises:
        RegistryError: the version is being deleted, or was.
        PreconditionError: others renewed the hold each of many times that this tried to.
    """
    for _ in attempts(SWAP_SECONDS):
        hold, generation = read(store, name, version)
        if (hold is None and not begin) or (hold is not None and hold.condemned):
            raise RegistryError(
                f"{name} {version} is being deleted by the garbage collection, or was; use another"
                " version, or publish it again"
            )
        if hold is not None and manifest and hold.manifest not in ("", manifest):
            return False
        now = datetime.datetime.now(datetime.UTC).timestamp()
        known = manifest or (hold.manifest if hold else "")
        if hold is not None and known == hold.manifest and hold.at > now - HOLD_SECONDS / 2:
            return True
        if _swap(store, name, version, Hold(now, False, known, uuid.uuid4().hex), generation):
            return True
    raise PreconditionError(f"{place(name, version)} is renewed faster than it can be; try again")


def condemn(store: Store, name: str, version: str, seen: Hold | None, generation: int) -> bool:
    """Mark a version for deletion; False if its hold is no longer the one that was seen."""
    if seen is not None and seen.condemned:
        return True
    at, manifest = (seen.at, seen.manifest) if seen else (0.0, "")
    wanted = Hold(at, True, manifest, uuid.uuid4().hex)
    if _swap(store, name, version, wanted, generation):
        return True
    found, _ = read(store, name, version)  # its own, if an answer was lost; or that of another
    return found is not None and found.condemned


def _swap(store: Store, name: str, version: str, hold: Hold, generation: int) -> bool:
    try:
        store.write(place(name, version), to_json(asdict(hold)), if_generation=generation)
    except PreconditionError:
        return False
    return True
