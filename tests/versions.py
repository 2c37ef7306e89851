"""Folders to publish, and versions that look as if they had been published long ago."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aegan import holds
from aegan.digests import to_json
from aegan.registry import Registry
from aegan.store import open_store

PASSED = json.dumps({"passed": True}).encode()
REJECTED = json.dumps({"passed": False}).encode()
FILES = {
    "README.md": b"# m\n",
    "keras/encoder.keras": bytes(range(256)),
    "serving/autoencoder/1/variables": b"weights",
    "report/verdict.json": PASSED,
}


def folder(path: Path, **changes: bytes) -> Path:
    """A folder as `publish` takes it, with other contents in some of its files."""
    for name, content in (FILES | {"weights": b""} | changes).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def publish(root: str, scratch: Path, *contents: str, verdict: bytes = PASSED) -> list[str]:
    """A version of the model `m` for each of these contents of one of its files."""
    changes = {"report/verdict.json": verdict}
    sources = [
        folder(scratch / f"source-{content}", weights=content.encode(), **changes)
        for content in contents
    ]
    return [Registry(root).publish("m", source) for source in sources]


def age_holds(root: str, name: str = "m") -> None:
    """Make all holds of a model as old as time, as if its versions had been published then."""
    store = open_store(root)
    for path in store.list(f"models/{name}/holds"):
        tree = json.loads(store.read(path) or b"")
        store.write(path, to_json(tree | {"at": 0.0, "mark": holds.place(name, path)}))


def key_pair(
    path: Path, curve: Any = ec.SECP256R1, password: bytes | None = None, key: Any = None
) -> tuple[Path, Path]:
    """Paths of a new private and public key, or of one that is given."""
    key = key or ec.generate_private_key(curve())
    encryption: Any = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    private, public = path.with_suffix(".key"), path.with_suffix(".pub")
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, subject))
    return private, public
