"""Moving aliases: to what the gate passed, and back."""

from __future__ import annotations

import json

from aegan import aliases, holds
from aegan.aliases import Alias
from aegan.errors import RegistryError
from aegan.manifest import Manifest
from aegan.published import Published
from aegan.store import Store

VERDICT = "report/verdict.json"


def promote(
    store: Store, name: str, version: str, alias: str, *, reason: str, force: bool
) -> Alias:
    """Point an alias at a version that the gate passed; see `Registry.promote`."""
    if not reason.strip():
        raise RegistryError("promoting needs a reason, which is recorded: give --reason TEXT")
    refusal = _refusal(Published(store, name, version))
    if refusal and not force:
        raise RegistryError(
            f"{name} {version} is not promoted: {refusal}; promote another version, or give"
            " --force --reason TEXT, which is recorded"
        )
    return point(store, name, alias, version, reason=reason)


def _refusal(published: Published) -> str:
    """Why a version may not be promoted; nothing if it may."""
    if VERDICT not in published.manifest().files:
        return f"it holds no {VERDICT}, so that no gate has passed it"
    try:
        verdict = json.loads(published.read_file(VERDICT))
    except (ValueError, RecursionError):
        return f"its {VERDICT} is not JSON"
    passed = isinstance(verdict, dict) and verdict.get("passed") is True
    return "" if passed else "the gate did not pass it"


def roll_back(store: Store, name: str, alias: str, *, reason: str) -> Alias:
    """Point an alias back at the version that it named before; see `Registry.rollback`."""
    if not reason.strip():
        raise RegistryError("rolling back needs a reason, which is recorded: give --reason TEXT")
    current, _ = aliases.read(store, name, alias)
    if current is None or current.previous is None:
        raise RegistryError(
            f"{name}@{alias} has named no other version: there is nothing to roll back to"
        )
    return point(store, name, alias, current.previous, reason=reason, only_from=current)


def point(
    store: Store,
    name: str,
    alias: str,
    version: str,
    *,
    reason: str,
    only_from: Alias | None = None,
) -> Alias:
    """Point an alias at a version, whatever the gate said, which is recorded; returns what it is then.

    The version is held first, so that the garbage collection leaves it alone until the alias names it;
    and looked for again afterwards, should this have been paused for longer than a hold lasts.

    Raises:
        RegistryError: there is no such version, or the alias is no longer `only_from`.
        IntegrityError: the version's verdict or manifest is not the one that was published.
        PreconditionError: others moved the alias each of many times that this tried to.
    """
    published = Published(store, name, version)
    published.manifest()
    holds.renew(store, name, version)
    manifest = published.manifest()
    hold, _ = holds.read(store, name, version)
    published.check_sha256(manifest, hold.manifest if hold else "")
    # Also of a version that was forced earlier, and rolled back to.
    forced = bool(_refusal(published))

    def choose(current: Alias | None) -> tuple[str, Manifest]:
        if only_from is not None and current != only_from:
            raise RegistryError(
                f"{name}@{alias} was moved by someone else meanwhile: look, then try again"
            )
        for move in (current, *current.history) if current else ():
            if move.version == version:
                published.check_sha256(manifest, move.manifest)
        return version, manifest

    moved = aliases.move(store, name, alias, choose, reason=reason, forced=forced)
    try:
        published.manifest()
    except RegistryError:
        raise RegistryError(
            f"{name}@{alias} names {version}, which was deleted meanwhile: promote another version"
        ) from None
    return moved
