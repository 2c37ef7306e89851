"""Signatures, made by us and checked by the public tool, and the other way round."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import aegan
from aegan.errors import IntegrityError, RegistryError
from aegan.manifest import NAME, SIGNATURE
from aegan.registry import Registry
from aegan.signatures import Trust
from aegan.store import open_store
from tests.versions import folder, key_pair, publish

signing = pytest.importorskip("model_signing.signing")
verifying = pytest.importorskip("model_signing.verifying")
hashing = pytest.importorskip("model_signing.hashing")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys") / "theirs")


Keys = tuple[Path, Path]


def test_what_is_signed_is_trusted_and_what_is_not_is_not(
    root: str, tmp_path: Path, ours: Keys, theirs: Keys
) -> None:
    registry = Registry(root)
    [version] = publish(root, tmp_path, "1")
    assert registry.signature("m", version) is None
    with pytest.raises(IntegrityError, match=f"m {version} is not signed: expected model.sig"):
        registry.verify("m", version, trust=Trust([ours[1]]))
    registry.sign("m", version, ours[0])
    registry.verify("m", version)
    registry.verify("m", version, trust=Trust([ours[1]]))
    registry.verify("m", version, trust=Trust([theirs[1], ours[1]]))
    registry.pull("m", version, tmp_path / "pulled", trust=Trust([ours[1]]))
    assert (tmp_path / "pulled" / SIGNATURE).read_bytes() == registry.signature("m", version)
    message = rf"m {version} is not signed by a trusted key:\n  .*theirs\.pub: Key mismatch"
    for use in (
        lambda: registry.verify("m", version, trust=Trust([theirs[1]])),
        lambda: registry.fetch("m", version, tmp_path / "fetched", trust=Trust([theirs[1]])),
        lambda: registry.pull("m", version, tmp_path / "again", trust=Trust([theirs[1]])),
        lambda: aegan.load(f"{root}/models/m@{version}", trust=Trust([theirs[1]])),
    ):
        with pytest.raises(IntegrityError, match=message):
            use()
    assert not (tmp_path / "again").exists()


def test_the_signature_is_over_exactly_the_manifest(tmp_path: Path, ours: Keys) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    registry = Registry(root)
    registry.sign("m", version, ours[0])
    bundle = json.loads(registry.signature("m", version) or b"")
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    place = Path(registry.uri("m", version))
    assert statement == json.loads((place / NAME).read_bytes())


def test_the_public_tool_verifies_a_published_folder(tmp_path: Path, ours: Keys) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    Registry(root).sign("m", version, ours[0])
    place = Path(Registry(root).uri("m", version))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(place)]
    command += ["--signature", str(place / SIGNATURE), "--public_key", str(ours[1])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (place / "weights").write_bytes(b"2")
    config = verifying.Config().use_elliptic_key_verifier(public_key=ours[1])
    with pytest.raises(ValueError, match="Hash mismatch for 'weights'"):
        config.verify(place, place / SIGNATURE)


def test_the_public_tools_statement_has_our_digests(tmp_path: Path, ours: Keys) -> None:
    """It hashes the folder itself, and comes to the same list of files and the same root digest."""
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    registry, place = Registry(root), Path(Registry(root).uri("m", version))
    hashed = hashing.Config().set_ignored_paths(paths=[NAME, SIGNATURE], ignore_git_paths=False)
    config = signing.Config().use_elliptic_key_signer(private_key=ours[0])
    config.set_hashing_config(hashed).sign(place, tmp_path / "signature")
    bundle = json.loads((tmp_path / "signature").read_bytes())
    theirs = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    mine = json.loads(registry.manifest("m", version).to_json())
    assert theirs["predicate"]["resources"] == mine["predicate"]["resources"]
    assert theirs["subject"][0]["digest"] == mine["subject"][0]["digest"]


def test_a_signature_of_other_files_or_of_another_model_does_not_count(
    root: str, tmp_path: Path, ours: Keys
) -> None:
    registry, store = Registry(root), open_store(root)
    first, second = publish(root, tmp_path, "1", "2")
    registry.sign("m", first, ours[0])
    signature = registry.signature("m", first)
    assert signature is not None
    store.write(f"models/m/versions/{second}/{SIGNATURE}", signature)
    with pytest.raises(IntegrityError, match="Signature mismatch: .*Hash mismatch for 'weights'"):
        registry.verify("m", second, trust=Trust([ours[1]]))
    other = registry.publish("other", folder(tmp_path / "other", weights=b"1"))
    store.write(f"models/other/versions/{other}/{SIGNATURE}", signature)
    with pytest.raises(IntegrityError, match="it is the signature of a model named 'm'"):
        registry.verify("other", other, trust=Trust([ours[1]]))


def _bundle(change: str, signature: bytes) -> bytes:
    tree = json.loads(signature)
    envelope = tree["dsseEnvelope"]
    if change == "payload":
        payload = base64.b64decode(envelope["payload"]).replace(b'"m"', b'"n"')
        envelope["payload"] = base64.b64encode(payload).decode()
    elif change == "signature":
        raw = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        raw[-1] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(raw).decode()
    elif change == "none":
        envelope["signatures"] = []
    return json.dumps(tree).encode()


@pytest.mark.parametrize("change", ["payload", "signature", "none", "not JSON", "{}"])
def test_a_forged_signature_is_refused(tmp_path: Path, ours: Keys, change: str) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    registry = Registry(root)
    registry.sign("m", version, ours[0])
    path = Path(registry.uri("m", version)) / SIGNATURE
    whole = change in ("not JSON", "{}")
    path.write_bytes(change.encode() if whole else _bundle(change, path.read_bytes()))
    with pytest.raises(IntegrityError, match="is not signed by a trusted key"):
        registry.verify("m", version, trust=Trust([ours[1]]))


def test_what_was_tampered_with_is_not_signed(root: str, tmp_path: Path, ours: Keys) -> None:
    [version] = publish(root, tmp_path, "1")
    open_store(root).write(f"models/m/versions/{version}/weights", b"evil")
    with pytest.raises(IntegrityError, match="changed: weights"):
        Registry(root).sign("m", version, ours[0])
    assert Registry(root).signature("m", version) is None


def test_a_version_is_signed_once(root: str, tmp_path: Path, ours: Keys, theirs: Keys) -> None:
    [version] = publish(root, tmp_path, "1")
    Registry(root).sign("m", version, ours[0])
    with pytest.raises(RegistryError, match=f"m {version} is signed already; .* delete .*model.si"):
        Registry(root).sign("m", version, theirs[0])
    Registry(root).verify("m", version, trust=Trust([ours[1]]))


@pytest.mark.parametrize("curve", [ec.SECP384R1, ec.SECP521R1])
def test_other_curves_and_encrypted_keys_are_taken(tmp_path: Path, curve: Any) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    private, public = key_pair(tmp_path / "key", curve, b"secret")
    with pytest.raises(RegistryError, match="cannot sign with .*key: "):
        Registry(root).sign("m", version, private)
    Registry(root).sign("m", version, private, "secret")
    Registry(root).verify("m", version, trust=Trust([public]))


@pytest.mark.parametrize("content", [b"", b"no key", None])
def test_what_is_no_key_is_named(tmp_path: Path, content: bytes | None, ours: Keys) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RegistryError, match=r"key\.pem.*expected a PEM file"):
        Registry(root).sign("m", version, path)
    Registry(root).sign("m", version, ours[0])
    with pytest.raises((RegistryError, IntegrityError), match=r"key\.pem: (this is no|expected)"):
        Registry(root).verify("m", version, trust=Trust([path]))


@pytest.mark.parametrize("kind", ["RSA", "Ed25519"])
def test_a_key_of_another_kind_is_called_by_its_kind(tmp_path: Path, kind: str, ours: Keys) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    other = rsa.generate_private_key(65537, 2048) if kind == "RSA" else None
    private, public = key_pair(tmp_path / "key", key=other or ed25519.Ed25519PrivateKey.generate())
    message = f"it holds a key of the kind {kind}, which has no elliptic curve; expected .* P-256"
    with pytest.raises(RegistryError, match=f"cannot sign with .*: {message}"):
        Registry(root).sign("m", version, private)
    Registry(root).sign("m", version, ours[0])
    with pytest.raises(IntegrityError, match=f"no usable public key: {message}"):
        Registry(root).verify("m", version, trust=Trust([public]))


@pytest.mark.parametrize("trust", ["ours.pub", Path("ours.pub"), ["ours.pub"]], ids=repr)
def test_trust_is_said_as_such(root: str, tmp_path: Path, trust: Any) -> None:
    [version] = publish(root, tmp_path, "1")
    for use in (
        lambda: aegan.load(f"{root}/models/m@{version}", trust=trust),
        lambda: Registry(root).verify("m", version, trust=trust),
    ):
        with pytest.raises(RegistryError, match=r"trust is .*expected aegan.Trust with paths"):
            use()


def test_trust_needs_a_list_of_keys(ours: Keys) -> None:
    for keys in ([], str(ours[1])):
        with pytest.raises(RegistryError, match="trust needs a list of at least one public key"):
            Trust(keys)
