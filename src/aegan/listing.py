"""What there is in a registry, and what a reference to it names."""

from __future__ import annotations

import re

from aegan import aliases
from aegan import manifest as manifests
from aegan.aliases import Alias
from aegan.errors import IntegrityError, RegistryError
from aegan.manifest import Manifest
from aegan.published import Published
from aegan.references import DIGEST_PATTERN, NAME_PATTERN, VERSION_PATTERN, check_model_name
from aegan.store import Store


def names(store: Store) -> list[str]:
    """Models with at least one version."""
    found = (path.split("/") for path in store.list("models"))
    names = {parts[1] for parts in found if _is_manifest(parts)}
    return sorted(name for name in names if re.fullmatch(NAME_PATTERN, name))


def versions(store: Store, name: str) -> list[str]:
    """Complete versions of a model, oldest first."""
    below = store.list(f"models/{check_model_name(name)}/versions")
    return sorted(parts[3] for parts in (path.split("/") for path in below) if _is_manifest(parts))


def find(store: Store, name: str, reference: str) -> tuple[str, Manifest]:
    """Version and manifest that a version, a digest or an alias names.

    Raises:
        RegistryError: there is no such version or alias.
        IntegrityError: what names it, or its manifest, is damaged, or the two disagree.
    """
    if re.fullmatch(DIGEST_PATTERN, reference):
        return _with_digest(store, name, reference)
    alias = None if re.fullmatch(VERSION_PATTERN, reference) else named(store, name, reference)
    published = Published(store, name, alias.version if alias else reference)
    try:
        manifest = published.manifest(alias.digest if alias else None)
    except RegistryError as error:
        if alias is not None:
            raise RegistryError(
                f"{error}, which the alias {reference!r} names: point it at another version with"
                f" `aegan models promote`, one of {', '.join(versions(store, name)) or 'none'}"
            ) from None
        raise RegistryError(f"{error}: {alternatives(store, name)}") from None
    if alias is not None:  # The root digest does not know the names of the files.
        published.check_sha256(manifest, alias.manifest)
    return published.version, manifest


def named(store: Store, name: str, alias: str) -> Alias:
    """An alias; errors as of `find`."""
    found, _ = aliases.read(store, name, alias)
    if found is None:
        raise RegistryError(
            f"no alias {alias!r} of the model {name!r} in {store.uri}: {alternatives(store, name)}"
        )
    return found


def _with_digest(store: Store, name: str, digest: str) -> tuple[str, Manifest]:
    """The newest version with this root digest: the same files may have been published twice."""
    damaged = None
    for version in reversed(versions(store, name)):
        if version.endswith(f"-{digest[:12]}"):
            try:
                manifest = Published(store, name, version).manifest()
            except IntegrityError as error:
                damaged = error
            else:
                if manifest.digest == digest:
                    return version, manifest
    if damaged is not None:
        raise damaged
    raise RegistryError(
        f"no version of {name} in {store.uri} has the root digest {digest}:"
        f" {alternatives(store, name)}"
    )


def alternatives(store: Store, name: str) -> str:
    """What could have been asked for in place of what does not exist."""
    if found := aliases.names(store, name):
        return f"expected one of {', '.join(found)}"
    if known := versions(store, name):
        return f"it has no alias; expected one of its versions {', '.join(known)}"
    if models := names(store):
        return f"no such model; expected one of {', '.join(models)}"
    return "expected a published model, found none"


def _is_manifest(parts: list[str]) -> bool:
    """Whether models/<name>/versions/<version>/MANIFEST.json."""
    return (
        len(parts) == 5
        and (parts[0], parts[2], parts[4]) == ("models", "versions", manifests.NAME)
        and re.fullmatch(VERSION_PATTERN, parts[3]) is not None
    )
