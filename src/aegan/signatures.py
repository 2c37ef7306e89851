"""Signatures: Sigstore bundles over a version's manifest, made and checked by `model_signing`.

The signature lies beside the manifest and signs exactly its statement, so that the public tool can
check a published folder without aegan:

    model_signing verify key FOLDER --signature FOLDER/model.sig --public_key public.pem
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegan.errors import DependencyError, IntegrityError, RegistryError
from aegan.manifest import NAME, SIGNATURE, Manifest


@dataclass(frozen=True)
class Trust:
    """Whose models are loaded.

    Attributes:
        public_keys: paths of PEM files, each the public half of an elliptic-curve key (P-256, P-384 or
            P-521); one of them must have signed.

    Raises:
        RegistryError: no key is given, or one cannot be read.
    """

    public_keys: Sequence[str | Path]

    def __post_init__(self) -> None:
        if not self.public_keys or isinstance(self.public_keys, (str, Path)):
            raise RegistryError(
                "trust needs a list of at least one public key, as paths of PEM files"
            )
        for key in self.public_keys:
            if not Path(key).is_file():
                raise RegistryError(f"cannot read the key {key}: expected a PEM file")


def check_trust(trust: Any) -> None:
    """Check that this says whose signatures count, or is None.

    Raises:
        RegistryError: it is something else.
    """
    if trust is not None and not isinstance(trust, Trust):
        raise RegistryError(
            f"trust is {trust!r}: expected aegan.Trust with paths of public keys,"
            ' aegan.Trust(["public.pem"])'
        )


def require() -> None:
    """Check that signatures can be made and checked here.

    Raises:
        DependencyError: the library is not installed.
    """
    try:
        import model_signing  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"signatures need a part that is not installed ({error.name}):"
            " pip install 'aegan[signing]'"
        ) from None


def check_key(private_key: Path, password: str | None = None) -> Any:
    """Check that a key can sign; returns the library's configuration for it.

    Args:
        private_key: path of a PEM file with an elliptic-curve key (P-256, P-384 or P-521).
        password: of the key, if it has one.

    Raises:
        RegistryError: the key cannot be used.
        DependencyError: the library is not installed.
    """
    require()
    from model_signing import signing

    if not private_key.is_file():
        raise RegistryError(f"cannot read the key {private_key}: expected a PEM file")
    try:
        return signing.Config().use_elliptic_key_signer(
            private_key=private_key, password=password.encode() if password else None
        )
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise RegistryError(
            f"cannot sign with {private_key}: {_reason(error)}; expected a PEM file with a private"
            " key of the curve P-256, P-384 or P-521: openssl ecparam -name prime256v1 -genkey -noout"
        ) from None


def _reason(error: Exception) -> str:
    """Why the library does not take a key; of another kind of key it says only that it has no curve."""
    if isinstance(error, AttributeError):
        kind = type(error.obj).__name__.removesuffix("PublicKey")
        return f"it holds a key of the kind {kind}, which has no elliptic curve"
    return str(error)


def sign(manifest: Manifest, private_key: Path, password: str | None = None) -> bytes:
    """A signature over a manifest; keys and errors as in `check_key`."""
    config = check_key(private_key, password)
    with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
        path = Path(scratch) / SIGNATURE
        config.set_hashing_config(_Hashed(manifest)).sign(scratch, path)
        return path.read_bytes()


def check(
    manifest: Manifest, signature: bytes | None, trust: Trust, *, name: str, what: str
) -> Path:
    """Check that one of the trusted keys has signed a manifest; returns the path of that key.

    Args:
        manifest: whose files were compared with what is there.
        signature: the contents of `model.sig`, or None.
        trust: whose signatures count.
        name: of the model that it must be a signature of.
        what: was signed, for messages.

    Raises:
        IntegrityError: it is not signed, by another key, or for other files or another model.
        RegistryError: `trust` is no `Trust`.
    """
    check_trust(trust)
    require()
    if signature is None:
        raise IntegrityError(
            f"{what} is not signed: expected {SIGNATURE} beside {NAME}, by a trusted key;"
            " have it signed with `aegan models sign`"
        )
    reasons = []
    with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
        path = Path(scratch) / SIGNATURE
        path.write_bytes(signature)
        for key in map(Path, trust.public_keys):
            reason = _refusal(manifest, path, key, name)
            if reason is None:
                return key
            reasons.append(f"\n  {key}: {reason}")
    raise IntegrityError(
        f"{what} is not signed by a trusted key:{''.join(reasons)}\n"
        "do not use it before you know who signed it"
    )


def _refusal(manifest: Manifest, signature: Path, key: Path, name: str) -> str | None:
    """Why a signature does not count; None if it does."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    hashed = _Hashed(manifest)
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # whatever a file may hold that is no key
        return (
            f"this is no usable public key: {_reason(error)}; expected a PEM file with the public half"
            " of a key of the curve P-256, P-384 or P-521"
        )
    try:
        config.set_hashing_config(hashed).verify(signature.parent, signature)
    except InvalidSignature:
        return "the signature is forged"
    except Exception as error:  # whatever a file may hold that is no signature
        return str(error) or repr(error)
    signed = _signed_name(signature)
    return None if signed == name else f"it is the signature of a model named {signed!r}"


def _signed_name(signature: Path) -> str | None:
    """The model's name in a bundle whose signature was checked."""
    envelope = json.loads(signature.read_bytes())["dsseEnvelope"]
    subjects = json.loads(base64.b64decode(envelope["payload"]))["subject"]
    return subjects[0].get("name") if len(subjects) == 1 else None


class _Hashed:
    """Stands for the library's own hashing of a folder: its files were hashed already."""

    def __init__(self, manifest: Manifest):
        self._manifest = manifest

    def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Any:
        """The manifest in the library's terms."""
        from model_signing import manifest as theirs
        from model_signing._hashing.hashing import Digest

        statement = json.loads(self._manifest.to_json())
        kind = theirs.SerializationType.from_args(statement["predicate"]["serialization"])
        items = [
            kind.new_item(item["name"], Digest("sha256", bytes.fromhex(item["digest"])))
            for item in statement["predicate"]["resources"]
        ]
        return theirs.Manifest(self._manifest.name, items, kind)

    def add_ignored_paths(self, *, model_path: Any, paths: Any) -> None:
        """Nothing: which files count was decided when they were hashed."""
