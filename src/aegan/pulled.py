"""A version that was copied out of a registry: a folder that is used as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aegan import manifest as manifests
from aegan import signatures
from aegan.errors import IntegrityError
from aegan.manifest import Manifest
from aegan.published import CURE, not_as_published
from aegan.references import check_model_name
from aegan.signatures import Trust
from aegan.transfers import readable


def folder_of(uri: str) -> Path | None:
    """The folder that a text names, if it holds a version that is not in a registry; else None."""
    folder = Path(os.path.expanduser(uri)).absolute()  # as it is where there is no such home
    if "://" in uri or re.search(r"/models/[^/]+/versions/[^/]+$", str(folder)):
        return None
    return folder if (folder / manifests.NAME).is_file() else None


def verify(folder: Path, trust: Trust | None = None) -> Manifest:
    """Check every file of a folder against the manifest in it, and who signed that.

    Without `trust` this shows damage, not forgery: nothing outside the folder tells what it must hold.

    Raises:
        IntegrityError: the manifest is damaged, names every extra, missing and changed file, or it is
            not signed as it must.
        RegistryError: the manifest is of no model.
        StoreError: something in it cannot be read.
    """
    with readable(folder):
        try:
            manifest = manifests.parse((folder / manifests.NAME).read_bytes())
        except IntegrityError as error:
            raise IntegrityError(f"{folder}: {error}; {CURE}") from None
        name = check_model_name(manifest.name)
        if trust is not None:
            check_trust(folder, manifest, trust)
        if lines := manifests.differences(manifest, manifests.of_folder(name, folder)):
            raise not_as_published(str(folder), lines)
    return manifest


def signature(folder: Path) -> bytes | None:
    """The contents of `model.sig`, unchecked: it may be anything; None without one."""
    path = folder / manifests.SIGNATURE
    with readable(folder):
        return path.read_bytes() if path.is_file() else None


def check_trust(folder: Path, manifest: Manifest, trust: Trust) -> Path:
    """The trusted key that signed what `verify` gave; errors as of `Published.check_trust`."""
    signed = signature(folder)
    return signatures.check(manifest, signed, trust, name=manifest.name, what=str(folder))
