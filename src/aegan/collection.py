"""Garbage collection: which versions nobody needs, and how they go.

The order makes it safe to be killed anywhere, and to race with publishers and promoters. For each
version: read its hold; read the aliases anew; condemn the hold as it was read; delete the manifest,
whereby the version stops to exist; delete its files; delete the hold.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from aegan import aliases, holds
from aegan import manifest as manifests
from aegan.errors import AeganError, IntegrityError, RegistryError
from aegan.references import NAME_PATTERN, VERSION_PATTERN, check_model_name
from aegan.store import Store

ABANDONED = datetime.timedelta(days=1)
"""A version without a manifest is left alone until its newest file is this old."""

Time = datetime.datetime


@dataclass(frozen=True)
class Doomed:
    """A version to be deleted.

    Attributes:
        name: of the model.
        version: of the model.
        reason: `old`; `incomplete`, if it never had a manifest; `condemned`, if a collection before
            was interrupted.
        files: number of its files.
    """

    name: str
    version: str
    reason: Literal["old", "incomplete", "condemned"]
    files: int


@dataclass(frozen=True)
class Rules:
    """What may be deleted.

    Attributes:
        keep: this many of the newest versions of each model stay.
        older_than: so do those that were published since.
        grace: so do those that an alias has named since.
        now: when this is asked, UTC; holds go by the clock, whatever it says.
    """

    keep: int
    older_than: datetime.timedelta
    grace: datetime.timedelta
    now: Time

    def __post_init__(self) -> None:
        if self.keep < 0 or min(self.older_than, self.grace) < datetime.timedelta():
            raise RegistryError(
                f"cannot keep {self.keep} versions, those of {self.older_than}, named within"
                f" {self.grace}: expected nothing below 0"
            )


def collect(
    store: Store, rules: Rules, models: Iterable[str] | None, *, dry_run: bool
) -> list[Doomed]:
    """Find and delete versions that nobody needs; see `aegan.Registry.gc`."""
    found, deleted, failed = list[Doomed](), list[Doomed](), list[str]()
    known = names(store)
    chosen = known if models is None else list(models)
    if unknown := sorted(set(chosen) - set(known)):
        raise RegistryError(
            f"no model {unknown[0]!r} in {store.uri}: expected {' or '.join(known) or 'one, found none'}"
        )
    for name in chosen:
        try:
            found += find_doomed(store, name, rules)
        except (IntegrityError, RegistryError) as error:
            failed.append(f"  {name}: {error}")
    if not dry_run:
        store.tidy(time.time() - ABANDONED.total_seconds())
        for doomed in found:
            try:
                deleted += [doomed] if delete(store, doomed, rules) else []
            except AeganError as error:
                failed.append(f"  {doomed.name} {doomed.version}: {error}")
    if failed:
        done = f"{len(found)} versions would be" if dry_run else f"{len(deleted)} versions were"
        raise RegistryError(
            f"{done} deleted, and {len(failed)} could not be:\n"
            + "\n".join(failed)
            + "\nput right what is named, then collect again"
        )
    return found if dry_run else deleted


def names(store: Store) -> list[str]:
    """Models of which there is anything that might be deleted."""
    found = (path.split("/") for path in store.list("models"))
    names = {parts[1] for parts in found if len(parts) > 3 and parts[2] in ("versions", "holds")}
    return sorted(name for name in names if re.fullmatch(NAME_PATTERN, name))


def find_doomed(store: Store, name: str, rules: Rules) -> list[Doomed]:
    """Versions of a model that the rules let go, the oldest first; deletes nothing.

    Raises:
        IntegrityError: an alias is damaged, so that nobody knows what is needed.
        RegistryError: an alias was moved too often to know what it named within the grace period.
    """
    versions = _versions(store, name)
    complete = sorted(version for version, files in versions.items() if manifests.NAME in files)
    newest = set(complete[-rules.keep :] if rules.keep else ())
    named = _needed(store, name, rules)
    return list(_doomed(store, name, versions, newest | named, rules))


def _doomed(
    store: Store, name: str, versions: dict[str, dict[str, float]], kept: set[str], rules: Rules
) -> Iterator[Doomed]:
    now, clock = rules.now.timestamp(), time.time()
    held = {path.rsplit("/", 1)[-1].removesuffix(".json") for path in _holds(store, name)}
    for version in sorted(versions.keys() | held):
        files = versions.get(version, {})
        hold = holds.read(store, name, version)[0] if version in held else None
        if hold is not None and hold.condemned:
            yield Doomed(name, version, "condemned", len(files))
        elif version in kept or (hold is not None and clock - hold.at < holds.HOLD_SECONDS):
            continue
        elif manifests.NAME in files:
            if now - files[manifests.NAME] >= rules.older_than.total_seconds():
                yield Doomed(name, version, "old", len(files))
        elif now - max(files.values(), default=0.0) >= ABANDONED.total_seconds():
            yield Doomed(name, version, "incomplete", len(files))


def delete(store: Store, doomed: Doomed, rules: Rules) -> bool:
    """Delete a version, unless it is needed by now; whether it was deleted."""
    name, version = doomed.name, doomed.version
    hold, generation = holds.read(store, name, version)
    fresh = hold is not None and time.time() - hold.at < holds.HOLD_SECONDS
    if fresh and not (hold is not None and hold.condemned):
        return False
    if version in _needed(store, name, rules):  # Only now: what moves later, renews the hold first.
        return False
    if not holds.condemn(store, name, version, hold, generation):
        return False
    prefix = f"models/{name}/versions/{version}"
    store.delete(f"{prefix}/{manifests.NAME}")
    store.delete(prefix)
    store.delete(holds.place(name, version))
    return True


def _needed(store: Store, name: str, rules: Rules) -> set[str]:
    needed = set()
    for alias, target in aliases.read_all(store, name).items():
        if not target.remembers(rules.now - rules.grace):
            raise RegistryError(
                f"{name}@{alias} was moved more than {aliases.HISTORY} times within the grace period:"
                " nobody knows what it named before; give a shorter --grace"
            )
        needed |= target.named_since(rules.now - rules.grace)
    return needed


def _versions(store: Store, name: str) -> dict[str, dict[str, float]]:
    """By version, when each of its files was written, by path."""
    prefix = f"models/{check_model_name(name)}/versions"
    found: dict[str, dict[str, float]] = {}
    for path, at in store.written(prefix).items():
        version, _, file = path.removeprefix(f"{prefix}/").partition("/")
        if re.fullmatch(VERSION_PATTERN, version) and file:
            found.setdefault(version, {})[file] = at
    return found


def _holds(store: Store, name: str) -> list[str]:
    prefix = f"models/{name}/holds/"
    found = (path.removeprefix(prefix) for path in store.list(prefix.rstrip("/")))
    return [path for path in found if re.fullmatch(VERSION_PATTERN, path.removesuffix(".json"))]
