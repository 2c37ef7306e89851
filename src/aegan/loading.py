"""From a URI to a model: resolve, verify, keep a copy that all processes share, load."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aegan import manifest as manifests
from aegan import pulled
from aegan.errors import IntegrityError, RegistryError, StoreError
from aegan.manifest import Manifest
from aegan.model import Model
from aegan.references import parse_reference
from aegan.registry import Registry
from aegan.runtimes import check_backend
from aegan.signatures import Trust, check_trust
from aegan.transfers import scratch_in

NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def load(
    uri: str | os.PathLike[str], *, backend: str = "auto", trust: Trust | None = None
) -> Model:
    """Resolve, verify and load a published model.

    Args:
        uri: `<root>/models/<name>@<alias, version or root digest>`, a folder or `gs://`; without `@`,
            its champion. Or a folder that a version was pulled into, whose root digest then stands for
            the name of the version, which such a folder does not know.
        backend: what is to compute: `tensorflow`, `onnx`, or `auto`, which takes ONNX runtime if it is
            installed, because it starts at once, and else TensorFlow.
        trust: whose signature the model must have; None to take it unsigned.

    Raises:
        RegistryError: there is no such model, alias or version, or `uri` or `trust` is something else.
        IntegrityError: a file is not the one that was published, each of which is named; or the model
            is not signed as `trust` asks.
        DependencyError: what would compute it, or check its signature, is not installed.
    """
    check_trust(trust)
    uri = _text(uri)
    if (folder := pulled.folder_of(uri)) is not None:
        check_backend(backend)
        manifest = pulled.verify(folder, trust)
        digest = manifest.digest
        return Model(folder, manifest.name, digest, digest, backend, manifest=manifest)
    root, name, reference = parse_reference(uri)
    registry = Registry(root)
    version, manifest = registry.find(name, reference, trust=trust)  # before what takes time
    check_backend(backend)
    if root.startswith("gs://"):
        folder = cached(registry, name, version, manifest)
    else:
        folder = registry.fetch(name, version, Path(), manifest, trust=trust)
    return Model(folder, name, version, manifest.digest, backend, manifest=manifest)


def cached(registry: Registry, name: str, version: str, expected: Manifest) -> Path:
    """A verified copy in the user's cache, keyed by its manifest; fetched anew if it was changed.

    Any number of processes may ask at once: one downloads, into a folder beside the cache's, and renames
    it when every file was checked; the others wait for that.

    Args:
        registry: where the version lies.
        name: of the model.
        version: of the model.
        expected: its manifest as it was just read there, and checked for a signature if one must be.
    """
    base = _cache()
    target = base / expected.sha256  # the root digest is the same for the same files of two models
    if _is_whole(target, expected):
        return target
    try:
        base.mkdir(parents=True, exist_ok=True)
        with _locked(base / f".{target.name}.lock"):
            if not _is_whole(target, expected):  # else another was faster
                with scratch_in(base) as scratch:
                    folder = registry.fetch(name, version, scratch, expected)
                    # May be written later or anew: it is read where the version lies, each time.
                    (folder / manifests.SIGNATURE).unlink(missing_ok=True)
                    if target.is_symlink() or target.exists():
                        target.rename(scratch / "changed")
                    folder.rename(target)
    except OSError as error:  # a StoreError is one, too: of the bucket, or of what was written here
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if not isinstance(cause, OSError) or (
            cause is not error and cause.errno not in NOT_WRITABLE
        ):
            raise
        raise StoreError(
            f"cannot write {cause.filename or base}: {cause.strerror or cause};"
            " make room, or set XDG_CACHE_HOME to a folder that you may write to and that has room"
        ) from cause
    return target


def _text(uri: Any) -> str:
    """The URI as text."""
    if isinstance(uri, str):
        return uri
    if isinstance(uri, os.PathLike) and isinstance(text := os.fspath(uri), str):
        return re.sub("^gs:/(?!/)", "gs://", text)  # a path makes one slash of two
    raise RegistryError(
        f"the model is {uri!r}: expected text or a path, <root>/models/<name>@<alias, version or"
        " digest>"
    )


def _cache() -> Path:
    """The user's folder for copies."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "aegan"
    except RuntimeError:  # as of a container whose user stands in no list of users
        raise StoreError(
            "no folder to keep copies in: this user has no home; set XDG_CACHE_HOME, or HOME, to a"
            " folder that you may write to"
        ) from None


def _is_whole(folder: Path, expected: Manifest) -> bool:
    try:
        return (
            folder.is_dir()
            and not folder.is_symlink()
            and not os.path.lexists(folder / manifests.SIGNATURE)
            and (folder / manifests.NAME).read_bytes() == expected.to_json()
            and not manifests.differences(expected, manifests.of_folder(expected.name, folder))
        )
    except (IntegrityError, OSError):  # a link, or gone while it was looked at
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases should this process be killed."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
