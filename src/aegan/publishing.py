"""Publishing: all files, then the manifest, whereby the version begins to exist."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

from aegan import holds
from aegan import manifest as manifests
from aegan.errors import PreconditionError, RegistryError
from aegan.manifest import Manifest
from aegan.references import check_model_name
from aegan.store import Store, files_below
from aegan.transfer_progress import metered


def publish(store: Store, name: str, folder: Path) -> str:
    """Copy a folder as a new immutable version.

    Returns:
        The version's name: UTC time and the first 12 digits of the root digest.

    Raises:
        RegistryError: there is no such folder, it is empty, or was published already.
        IntegrityError: something in it is no plain file, or was changed meanwhile.
        StoreError: a file has a name that no reader accepts, or something cannot be read or written.
    """
    check_model_name(name)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise RegistryError(f"cannot publish {folder}: expected a folder, found {found}")
    for own in (manifests.NAME, manifests.SIGNATURE):
        if (folder / own).exists():
            raise RegistryError(
                f"{folder} holds a {own} already; publish the folder it was made from"
            )
    with metered(lambda: _size(folder)), store.stage(folder) as staged:
        if not staged.digests:
            raise RegistryError(f"{folder} holds no files: there is nothing to publish")
        manifest = Manifest(name, staged.digests)
        version = _reserve(store, manifest)
        place = f"models/{name}/versions/{version}"
        if store.read(f"{place}/{manifests.NAME}") is None:
            staged.place(place)
            holds.renew(store, name, version, begin=False)
            _write_manifest(store, f"{place}/{manifests.NAME}", manifest.to_json())
    return version


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in files_below(folder))


def _reserve(store: Store, manifest: Manifest) -> str:
    """A version's name for this manifest alone; the same for the same one in the same second."""
    while True:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        version = f"{now}-{manifest.digest[:12]}"
        if holds.renew(store, manifest.name, version, manifest=manifest.sha256):
            return version
        time.sleep(0.1)  # The same contents under other paths: wait for the next second.


def _write_manifest(store: Store, path: str, content: bytes) -> None:
    try:
        store.write(path, content, if_generation=0)
    except PreconditionError:  # by someone else with the same contents, or the answer got lost
        if store.read(path) != content:
            raise
