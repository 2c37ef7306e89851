"""The registry: versions that never change, and aliases that move between them.

    <root>/models/<name>/versions/<version>/…      MANIFEST.json written last: without it, no version
    <root>/models/<name>/aliases/<alias>.json      where an alias points, and pointed before
    <root>/models/<name>/holds/<version>.json      what keeps the garbage collection away

There is no server: a folder or bucket is the registry, and create-only objects and compare-and-swap on
an object's generation are all the coordination there is.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from aegan import aliases, collection, listing, promotion, publishing
from aegan.aliases import Alias
from aegan.collection import Doomed, Rules
from aegan.errors import AeganError, RegistryError
from aegan.local_store import LocalStore
from aegan.manifest import Manifest
from aegan.published import Expected, Published
from aegan.signatures import Trust
from aegan.store import open_store

GRACE = datetime.timedelta(days=7)


class Registry:
    """The models below one root."""

    def __init__(self, root: str):
        """Take a folder or `gs://bucket/path`; `<root>/models` holds the models."""
        self._store = open_store(root)

    # --- What there is

    def uri(self, name: str, version: str) -> str:
        """Where a version lies."""
        return f"{self._store.uri}/models/{name}/versions/{version}"

    def names(self) -> list[str]:
        """Models with at least one version."""
        return listing.names(self._store)

    def versions(self, name: str) -> list[str]:
        """Complete versions of a model, oldest first."""
        return listing.versions(self._store, name)

    def aliases(self, name: str) -> dict[str, Alias]:
        """All aliases of a model, with their histories.

        Raises:
            IntegrityError: the file of one is damaged.
        """
        return aliases.read_all(self._store, name)

    def readable_aliases(self, name: str) -> tuple[dict[str, Alias], list[AeganError]]:
        """The aliases of a model that can be read, and what is wrong with the others."""
        return aliases.read_readable(self._store, name)

    def manifest(
        self, name: str, version: str, expected: Expected = None, *, trust: Trust | None = None
    ) -> Manifest:
        """What a version consists of, and who signed that; none of its files is looked at.

        Raises:
            RegistryError: there is no such version.
            IntegrityError: the manifest is damaged, or of other files than the version's name or what
                is expected tells, or not signed as it must.
        """
        published = Published(self._store, name, version)
        try:
            manifest = published.manifest(expected)
        except RegistryError as error:
            raise RegistryError(f"{error}: {listing.alternatives(self._store, name)}") from None
        if trust is not None:
            published.check_trust(manifest, trust)
        return manifest

    def find(
        self, name: str, reference: str, *, trust: Trust | None = None
    ) -> tuple[str, Manifest]:
        """The version that an alias, a version or a root digest names, and its manifest.

        Raises:
            RegistryError: there is no such alias or version.
            IntegrityError: the alias or the manifest is damaged, or not what the other tells, or the
                manifest is not signed as it must.
        """
        version, manifest = listing.find(self._store, name, reference)
        if trust is not None:
            self.check_trust(name, version, manifest, trust)
        return version, manifest

    def resolve(self, name: str, reference: str) -> tuple[str, str]:
        """The version that `find` gives, and its root digest; the same errors."""
        version, manifest = self.find(name, reference)
        return version, manifest.digest

    # --- Writing

    def publish(self, name: str, folder: Path) -> str:
        """Copy a folder as a new immutable version; returns its name.

        Raises:
            RegistryError: there is no such folder, it is empty, or was published already.
            IntegrityError: something in it is no plain file, or was changed meanwhile.
            StoreError: a file has a name that no reader would accept.
        """
        return publishing.publish(self._store, name, folder)

    def promote(
        self,
        name: str,
        reference: str,
        alias: str = "champion",
        *,
        reason: str,
        force: bool = False,
    ) -> Alias:
        """Point an alias at a version that the gate passed; returns what the alias is then.

        If it names that version already, nothing moves and nothing is recorded: what is returned is the
        move by which it came there, with the reason of that.

        Args:
            name: of the model.
            reference: the version, its root digest, or another alias that names it.
            alias: to move.
            reason: why; recorded.
            force: also if the gate did not pass it; recorded.

        Raises:
            RegistryError: there is no such version, the gate did not pass it, or no reason is given.
        """
        version, _ = self.resolve(name, reference)
        return promotion.promote(self._store, name, version, alias, reason=reason, force=force)

    def rollback(self, name: str, alias: str = "champion", *, reason: str) -> Alias:
        """Point an alias back at the version that it named before; returns what it is then.

        Raises:
            RegistryError: there is no such alias or version, it has named no other version, no reason is
                given, or someone else moved it meanwhile.
        """
        listing.named(self._store, name, alias)  # for its message
        return promotion.roll_back(self._store, name, alias, reason=reason)

    def set_alias(self, name: str, alias: str, version: str, reason: str) -> Alias:
        """Point an alias at a version, whatever the gate said: `promote` is what people want.

        Raises:
            RegistryError: there is no such version.
            PreconditionError: others moved the alias each of many times that this tried to.
        """
        self.manifest(name, version)  # for its message
        return promotion.point(self._store, name, alias, version, reason=reason)

    def sign(
        self, name: str, version: str, private_key: str | Path, password: str | None = None
    ) -> None:
        """Check every file of a version, then sign its manifest; see `Published.sign`."""
        Published(self._store, name, version).sign(Path(private_key), password)

    def gc(
        self,
        *,
        keep: int,
        older_than: datetime.timedelta,
        grace: datetime.timedelta = GRACE,
        names: Sequence[str] | None = None,
        dry_run: bool = False,
        now: datetime.datetime | None = None,
    ) -> list[Doomed]:
        """Delete versions that nobody needs; returns what was deleted, or would be.

        Args:
            keep: this many of the newest versions of each model stay.
            older_than: versions that were published since stay.
            grace: versions that an alias has named since stay, and the one it named before.
            names: of the models to look at; None for all.
            dry_run: delete nothing.
            now: the time to count back from; None for the present. What is held, or on its way, is
                told by the clock alone.

        Raises:
            RegistryError: names each version that could not be deleted, and each model of which nobody
                knows what is needed, as an alias is damaged; all others were deleted.
        """
        rules = Rules(keep, older_than, grace, now or datetime.datetime.now(datetime.UTC))
        return collection.collect(self._store, rules, names, dry_run=dry_run)

    # --- Reading

    def verify(
        self, name: str, version: str, expected: Expected = None, *, trust: Trust | None = None
    ) -> Manifest:
        """Check every file of a version where it lies, and who signed it.

        Args:
            name: of the model.
            version: of the model.
            expected: its root digest or its whole manifest, if known.
            trust: whose signature is expected, if any.

        Raises:
            IntegrityError: names every extra, missing and changed file; or it is not signed as it must.
        """
        published = Published(self._store, name, version)
        manifest = published.verify(expected)
        if trust is not None:
            published.check_trust(manifest, trust)
        return manifest

    def fetch(
        self,
        name: str,
        version: str,
        scratch: Path,
        expected: Expected = None,
        *,
        trust: Trust | None = None,
    ) -> Path:
        """A local folder with a version, checked as `verify` does: in place, or below `scratch`."""
        published = Published(self._store, name, version)
        if isinstance(self._store, LocalStore):
            self.verify(name, version, expected, trust=trust)
            return self._store.fetch(published.place, scratch)
        manifest = published.download(scratch / version, expected)
        if trust is not None:
            published.check_trust(manifest, trust)
        return scratch / version

    def pull(
        self,
        name: str,
        version: str,
        target: Path,
        expected: Expected = None,
        *,
        trust: Trust | None = None,
    ) -> Path:
        """Copy a version into a new folder, checked as `verify` does; see `Published.pull`."""
        manifest = self.manifest(name, version, expected, trust=trust)  # before anything appears
        Published(self._store, name, version).pull(target, manifest)
        return target

    def read_file(self, name: str, version: str, path: str) -> bytes:
        """One file of a version, checked; see `Published.read_file`."""
        return Published(self._store, name, version).read_file(path)

    def signature(self, name: str, version: str) -> bytes | None:
        """The contents of a version's `model.sig`, unchecked: it may be anything; None without one."""
        return Published(self._store, name, version).signature()

    def check_trust(self, name: str, version: str, manifest: Manifest, trust: Trust) -> Path:
        """The trusted key that signed what `verify` gave; see `Published.check_trust`."""
        return Published(self._store, name, version).check_trust(manifest, trust)
