"""The registry: versions that never change, and aliases that move between them.

    <root>/models/<name>/versions/<version>/…  MANIFEST.json written last: without it, no version
    <root>/models/<name>/aliases/<alias>.json  {version, digest, previous, by, at, reason}

There is no server: a folder or bucket is the registry, and compare-and-swap on an alias's generation
is all the coordination there is.
"""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from aegan import manifest as manifests
from aegan.digests import to_json
from aegan.errors import IntegrityError, PreconditionError, RegistryError
from aegan.manifest import Manifest
from aegan.references import NAME_PATTERN, check_model_name
from aegan.store import open_store

VERSION_PATTERN = r"^\d{8}T\d{6}Z-[0-9a-f]{12}$"
SWAP_ATTEMPTS = 20


@dataclass(frozen=True)
class Alias:
    """Where an alias points.

    Attributes:
        version: name of the version.
        digest: its root digest.
        previous: the version before, or None.
        by: who moved it.
        at: when, UTC, ISO 8601.
        reason: why.
    """

    version: str
    digest: str
    previous: str | None
    by: str
    at: str
    reason: str


class Registry:
    """The models below one root."""

    def __init__(self, root: str):
        """Take a folder or `gs://bucket/path`; `<root>/models` holds the models."""
        self._store = open_store(root)

    def uri(self, name: str, version: str) -> str:
        """Where a version lies."""
        return f"{self._store.uri}/models/{name}/versions/{version}"

    def names(self) -> list[str]:
        """Models with at least one version."""
        found = (_parts(name) for name in self._store.list("models"))
        names = {parts[1] for parts in found if _is_manifest(parts)}
        return sorted(name for name in names if re.fullmatch(NAME_PATTERN, name))

    def versions(self, name: str) -> list[str]:
        """Complete versions of a model, oldest first."""
        found = (
            _parts(path) for path in self._store.list(f"models/{check_model_name(name)}/versions")
        )
        return sorted(parts[3] for parts in found if _is_manifest(parts))

    def aliases(self, name: str) -> dict[str, Alias]:
        """All aliases of a model."""
        prefix = f"models/{check_model_name(name)}/aliases"
        paths = [path for path in self._store.list(prefix) if path.endswith(".json")]
        names = [path.rsplit("/", 1)[-1].removesuffix(".json") for path in paths]
        found = {alias: self._alias(name, alias)[0] for alias in names}
        return {alias: target for alias, target in found.items() if target is not None}

    def publish(self, name: str, folder: Path) -> str:
        """Copy a folder as a new immutable version; the manifest goes last and makes it exist.

        Returns:
            The version's name: UTC time and the first 12 digits of the root digest.
        """
        if (folder / manifests.NAME).exists():
            raise RegistryError(
                f"{folder} holds a {manifests.NAME} already; publish the folder it was made from"
            )
        manifest = manifests.of_folder(check_model_name(name), folder)
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        version = f"{now}-{manifest.digest[:12]}"
        prefix = f"models/{name}/versions/{version}"
        if self._store.read(f"{prefix}/{manifests.NAME}") is not None:
            return version  # the same bytes in the same second: the same version
        self._store.upload(folder, prefix)
        try:
            self._store.write(f"{prefix}/{manifests.NAME}", manifest.to_json(), if_generation=0)
        except PreconditionError:  # someone else published it meanwhile
            if self.manifest(name, version).digest != manifest.digest:
                raise
        return version

    def manifest(self, name: str, version: str) -> Manifest:
        """The manifest of a version.

        Raises:
            RegistryError: there is no such version.
            IntegrityError: the manifest is damaged or not the one that the version's name tells.
        """
        if not re.fullmatch(VERSION_PATTERN, version):
            raise RegistryError(
                f"{version!r} is not a version: expected <yyyymmddThhmmssZ>-<12 hex digits>"
            )
        prefix = f"models/{check_model_name(name)}/versions/{version}"
        content = self._store.read(f"{prefix}/{manifests.NAME}")
        if content is None:
            raise RegistryError(
                f"no version {version} of {name} in {self._store.uri}: expected one of"
                f" {self.versions(name) or 'none, nothing is published'}"
            )
        try:
            manifest = manifests.parse(content)
        except IntegrityError as error:
            raise IntegrityError(
                f"{self._store.uri}/{prefix}: {error}; use another version, and find out who changed"
                " this one"
            ) from None
        if not version.endswith(manifest.digest[:12]):
            raise IntegrityError(
                f"{name} {version}: the manifest is that of other files,"
                f" root digest {manifest.digest[:12]}…"
            )
        return manifest

    def resolve(self, name: str, reference: str) -> tuple[str, str]:
        """The version an alias points to, or the version itself, and its root digest.

        Raises:
            RegistryError: there is no such alias or version.
        """
        if re.fullmatch(VERSION_PATTERN, reference):
            return reference, self.manifest(name, reference).digest
        alias, _ = self._alias(name, reference)
        if alias is None:
            raise RegistryError(
                f"no alias {reference!r} of the model {name!r} in {self._store.uri}:"
                f" {self._alternatives(name)}"
            )
        return alias.version, alias.digest

    def set_alias(self, name: str, alias: str, version: str, reason: str) -> Alias:
        """Point an alias at a version, by compare-and-swap; returns what was written.

        Raises:
            RegistryError: there is no such version.
            PreconditionError: others moved the alias each of many times that this tried to.
        """
        digest = self.manifest(name, version).digest
        for attempt in range(SWAP_ATTEMPTS):
            current, generation = self._alias(name, alias)
            if current is not None and current.version == version:
                return current
            wanted = Alias(
                version=version,
                digest=digest,
                previous=current.version if current else None,
                by=_user(),
                at=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
                reason=reason,
            )
            path = f"models/{name}/aliases/{alias}.json"
            try:
                self._store.write(path, to_json(asdict(wanted)), if_generation=generation)
            except PreconditionError:
                if attempt == SWAP_ATTEMPTS - 1:
                    raise
            else:
                return wanted
        raise AssertionError("unreachable")

    def fetch(self, name: str, version: str, scratch: Path, digest: str | None = None) -> Path:
        """A local folder with a version, every file checked against the manifest.

        Args:
            name: of the model.
            version: of the model.
            scratch: where to copy to, if the registry is a bucket.
            digest: the root digest that is expected, if known.

        Raises:
            IntegrityError: names every extra, missing and changed file.
        """
        manifest = self.manifest(name, version)
        if digest is not None and manifest.digest != digest:
            raise IntegrityError(
                f"{name} {version}: root digest {manifest.digest[:12]}…, expected {digest[:12]}…"
            )
        folder = self._store.fetch(f"models/{name}/versions/{version}", scratch)
        lines = manifests.differences(manifest, manifests.of_folder(name, folder))
        if lines:
            details = "\n".join(f"  {line}" for line in lines)
            raise IntegrityError(
                f"{self.uri(name, version)} is not what was published:\n{details}\n"
                "use another version, and find out who changed this one"
            )
        return folder

    def read_file(self, name: str, version: str, path: str) -> bytes:
        """One file of a version, checked against the manifest.

        Raises:
            IntegrityError: the version has no such file, or it is not the one that was published.
        """
        where = f"{self.uri(name, version)}/{path}"
        expected = self.manifest(name, version).files.get(path)
        content = self._store.read(f"models/{name}/versions/{version}/{path}")
        if expected is None or content is None:
            raise IntegrityError(f"{where} is missing: expected every published version to have it")
        if hashlib.sha256(content).hexdigest() != expected:
            raise IntegrityError(
                f"{where} is not what was published; use another version, and find out who changed it"
            )
        return content

    def _alternatives(self, name: str) -> str:
        """What could have been asked for in place of an alias that does not exist."""
        if aliases := sorted(self.aliases(name)):
            return f"expected one of {', '.join(aliases)}"
        if versions := self.versions(name):
            return f"it has no alias; expected one of its versions {', '.join(versions)}"
        if names := self.names():
            return f"no such model; expected one of {', '.join(names)}"
        return "expected a published model, found none"

    def _alias(self, name: str, alias: str) -> tuple[Alias | None, int]:
        path = f"models/{check_model_name(name)}/aliases/{check_model_name(alias)}.json"
        content, generation = self._store.read_versioned(path)
        if content is None:
            return None, 0
        try:
            tree = json.loads(content)
            return Alias(**{field.name: tree[field.name] for field in fields(Alias)}), generation
        except (ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"{self._store.uri}/{path} is not a valid alias ({error!r}): expected JSON with"
                " version, digest, previous, by, at and reason; load a version in place of the alias"
            ) from None


def _parts(path: str) -> list[str]:
    return path.split("/")


def _is_manifest(parts: list[str]) -> bool:
    """Whether models/<name>/versions/<version>/MANIFEST.json."""
    return len(parts) == 5 and parts[2] == "versions" and parts[4] == manifests.NAME


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an arbitrary user id in a container
        return "unknown"
