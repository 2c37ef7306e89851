"""Aliases: names that move between versions, and remember every move.

    <root>/models/<name>/aliases/<alias>.json    {version, …, history: [{version, …}, …]}

One object holds where the alias points and where it pointed before, so that both change together or
not at all, however many move it and wherever one of them is killed.
"""

from __future__ import annotations

import datetime
import getpass
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from aegan.digests import to_json
from aegan.errors import AeganError, IntegrityError, PreconditionError
from aegan.manifest import Manifest
from aegan.references import DIGEST_PATTERN, NAME_PATTERN, VERSION_PATTERN, check_model_name
from aegan.retries import attempts
from aegan.store import Store

HISTORY = 500
"""Moves that an alias remembers; about 300 bytes each."""
SWAP_SECONDS = 60.0


@dataclass(frozen=True)
class Move:
    """One move of an alias.

    Attributes:
        version: where to.
        digest: root digest of that version.
        previous: the version before, or None.
        by: who moved it.
        at: when, UTC, ISO 8601.
        reason: why.
        forced: whether the gate had not passed the version.
        id: of this move, and no other.
        manifest: SHA-256 of the version's manifest; "" in moves written before that was recorded.
    """

    version: str
    digest: str
    previous: str | None
    by: str
    at: str
    reason: str
    forced: bool = False
    id: str = ""
    manifest: str = ""


@dataclass(frozen=True)
class Alias(Move):
    """Where an alias points: its last move.

    Attributes:
        history: the moves before, the newest first; at most HISTORY.
    """

    history: tuple[Move, ...] = ()

    def named_since(self, time: datetime.datetime) -> set[str]:
        """Versions that it has named at some time after this one, and the one before.

        The version before is where `rollback` goes, however long ago it was.
        """
        found = {self.version} | ({self.previous} if self.previous else set())
        for move, next_move in zip(self.history, (self, *self.history), strict=False):
            if datetime.datetime.fromisoformat(next_move.at) >= time:
                found.add(move.version)
        return found

    def remembers(self, time: datetime.datetime) -> bool:
        """Whether the history reaches back to this time."""
        if len(self.history) < HISTORY:
            return True
        return datetime.datetime.fromisoformat(self.history[-1].at) < time


def place(name: str, alias: str) -> str:
    """Where an alias lies below the root."""
    return f"models/{check_model_name(name)}/aliases/{check_model_name(alias)}.json"


def read(store: Store, name: str, alias: str) -> tuple[Alias | None, int]:
    """An alias and its generation; (None, 0) if there is none.

    Raises:
        IntegrityError: its file is damaged.
    """
    content, generation = store.read_versioned(place(name, alias))
    if content is None:
        return None, 0
    try:
        tree = json.loads(content)
        history = tuple(Move(**_known(move)) for move in tree.get("history", ()))
        found = Alias(**_known(tree), history=history)
        return found, generation
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"{store.uri}/{place(name, alias)} is not a valid alias ({error!r}): expected JSON with"
            " version, digest, previous, by, at and reason; delete this file, whose history is lost,"
            f" then point the alias anew: aegan models promote {store.uri}/models/{name}@VERSION"
            f" --to {alias} --reason TEXT"
        ) from None


def names(store: Store, name: str) -> list[str]:
    """Names of all aliases of a model, sorted; whether they can be read is not looked at."""
    prefix = f"models/{check_model_name(name)}/aliases"
    paths = (path.removeprefix(f"{prefix}/") for path in store.list(prefix))
    found = (path.removesuffix(".json") for path in paths if path.endswith(".json"))
    return sorted(alias for alias in found if re.fullmatch(NAME_PATTERN, alias))


def read_all(store: Store, name: str) -> dict[str, Alias]:
    """All aliases of a model.

    Raises:
        IntegrityError: the file of one is damaged.
        StoreError: the file of one cannot be read.
    """
    found, broken = read_readable(store, name)
    if broken:
        raise broken[0]
    return found


def read_readable(store: Store, name: str) -> tuple[dict[str, Alias], list[AeganError]]:
    """All aliases of a model that can be read, and what is wrong with the others."""
    found, broken = {}, []
    for alias in names(store, name):
        try:
            target, _ = read(store, name, alias)
        except AeganError as error:
            broken.append(error)
        else:
            if target is not None:  # else it was deleted meanwhile
                found[alias] = target
    return found, broken


def move(
    store: Store,
    name: str,
    alias: str,
    choose: Callable[[Alias | None], tuple[str, Manifest]],
    *,
    reason: str,
    forced: bool = False,
) -> Alias:
    """Point an alias somewhere, by compare-and-swap; returns what it is then.

    If that is where it points already, nothing is written: a move has another version before it.

    Args:
        store: of the registry.
        name: of the model.
        alias: to move.
        choose: version and its manifest, given the alias as it is; asked again if it was moved since.
        reason: is recorded.
        forced: is recorded.

    Raises:
        PreconditionError: others moved the alias each of many times that this tried to.
    """
    own = uuid.uuid4().hex
    for _ in attempts(SWAP_SECONDS):
        current, generation = read(store, name, alias)
        if current is not None and own in {made.id for made in (current, *current.history)}:
            return current  # it was written, and the answer got lost
        version, manifest = choose(current)
        if current is not None and current.version == version:
            return current
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
        wanted = Alias(
            version=version,
            digest=manifest.digest,
            previous=current.version if current else None,
            by=_user(),
            at=now,
            reason=reason,
            forced=forced,
            id=own,
            manifest=manifest.sha256,
            history=(_bare(current), *current.history)[:HISTORY] if current else (),
        )
        try:
            store.write(place(name, alias), to_json(asdict(wanted)), if_generation=generation)
        except PreconditionError:
            continue
        return wanted
    raise PreconditionError(f"{place(name, alias)} is moved faster than it can be; try again")


def _known(tree: dict[str, Any]) -> dict[str, Any]:
    """The fields of a move, whatever else a later version may have added."""
    if not re.fullmatch(VERSION_PATTERN, tree["version"]):
        raise ValueError(f"{tree['version']!r} is no version")
    if not re.fullmatch(DIGEST_PATTERN, tree["digest"]):
        raise ValueError(f"{tree['digest']!r} is no digest")
    if not re.fullmatch(f"({DIGEST_PATTERN})?", tree.get("manifest", "")):
        raise ValueError(f"{tree['manifest']!r} is no digest")
    if datetime.datetime.fromisoformat(tree["at"]).tzinfo is None:
        raise ValueError(f"{tree['at']} names no time zone")
    return {field.name: tree[field.name] for field in fields(Move) if field.name in tree}


def _bare(alias: Alias) -> Move:
    return Move(**{field.name: getattr(alias, field.name) for field in fields(Move)})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an arbitrary user id in a container
        return "unknown"
