"""One published version: read, checked file by file, copied, signed.

Whatever is read of a version is compared with its manifest, and the manifest with the digest that is
expected of it. What does not fit is refused by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from aegan import manifest as manifests
from aegan import signatures
from aegan.errors import AeganError, IntegrityError, PreconditionError, RegistryError
from aegan.manifest import Manifest
from aegan.references import check_model_name, check_version
from aegan.signatures import Trust
from aegan.store import Store, in_bucket
from aegan.transfer_progress import metered
from aegan.transfers import readable, scratch_in, writable

CURE = "use another version, and find out who changed this one"

Expected = str | Manifest | None
"""What a version should be, if known: its root digest, which knows no names, or its whole manifest."""


def _content(path: Path) -> bytes | None:
    """The bytes of a file; None without one."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def not_as_published(where: str, lines: list[str]) -> IntegrityError:
    """What says which files of a version are not those of its manifest."""
    details = "\n".join(f"  {line}" for line in lines)
    return IntegrityError(f"{where} is not what was published:\n{details}\n{CURE}")


class Published:
    """A version of a model in a store, which need not exist."""

    def __init__(self, store: Store, name: str, version: str):
        """Take the names of a model and of a version of it; reads nothing yet."""
        self.name, self.version = check_model_name(name), check_version(version)
        self.place = f"models/{name}/versions/{version}"
        self.uri = f"{store.uri}/{self.place}"
        self._store = store

    def manifest(self, expected: Expected = None) -> Manifest:
        """What the version consists of.

        Args:
            expected: its root digest or its whole manifest, if known.

        Raises:
            RegistryError: there is no such version.
            IntegrityError: the manifest is damaged, or of another model, or of other files than the
                version's name or what is expected tells.
        """
        return self._manifest(expected)[0]

    def _manifest(self, expected: Expected) -> tuple[Manifest, bytes]:
        content = self._store.read(f"{self.place}/{manifests.NAME}")
        if content is None:
            raise RegistryError(f"no version {self.version} of {self.name} in {self._store.uri}")
        try:
            manifest = manifests.parse(content)
        except IntegrityError as error:
            raise IntegrityError(f"{self.uri}: {error}; {CURE}") from None
        if manifest.name != self.name:
            raise IntegrityError(
                f"{self.uri}: the manifest is that of a model named {manifest.name!r}; {CURE}"
            )
        self._check(manifest, expected)
        return manifest, content

    def _check(self, manifest: Manifest, expected: Expected) -> None:
        """Compare a manifest with the version's name and with what is expected."""
        what, found = f"{self.name} {self.version}", f"{manifest.digest[:12]}…"
        if not self.version.endswith(manifest.digest[:12]):
            raise IntegrityError(
                f"{what}: the manifest is that of other files, root digest {found}; {CURE}"
            )
        if isinstance(expected, Manifest):
            self.check_sha256(manifest, expected.sha256)
        elif expected is not None and manifest.digest != expected:
            raise IntegrityError(f"{what}: root digest {found}, expected {expected[:12]}…; {CURE}")

    def check_sha256(self, manifest: Manifest, expected: str) -> None:
        """Compare the SHA-256 of a whole manifest, which tells if files were renamed; "" for unknown."""
        if expected and manifest.sha256 != expected:
            raise IntegrityError(
                f"{self.name} {self.version}: the manifest was rewritten since it was published or"
                f" promoted, SHA-256 {manifest.sha256[:12]}…, expected {expected[:12]}…; {CURE}"
            )

    def read_file(self, path: str) -> bytes:
        """One file, checked against the manifest.

        Raises:
            RegistryError: there is no such version, or it was deleted meanwhile.
            IntegrityError: the version has no such file, or it is not the one that was published.
        """
        where = f"{self.uri}/{path}"
        expected = self.manifest().files.get(path)
        content = None if expected is None else self._store.read(f"{self.place}/{path}")
        if content is None:
            self._still_there()
            raise IntegrityError(
                f"{where} is missing: expected every published version to have it; {CURE}"
            )
        if hashlib.sha256(content).hexdigest() != expected:
            raise IntegrityError(f"{where} is not what was published; {CURE}")
        return content

    def verify(self, expected: Expected = None) -> Manifest:
        """Check every file where it lies, without keeping a copy.

        Args:
            expected: its root digest or its whole manifest, if known.

        Raises:
            IntegrityError: names every extra, missing and changed file.
        """
        return self._checked(expected, lambda: self._store.digests(self.place))

    def download(self, folder: Path, expected: Expected = None) -> Manifest:
        """Copy every file into a local folder that holds none of them yet, checked.

        Raises:
            IntegrityError: names every extra, missing and changed file; the folder is worthless.
        """
        return self._checked(expected, lambda: self._store.download(self.place, folder))

    def _checked(self, expected: Expected, transfer: Callable[[], dict[str, str]]) -> Manifest:
        manifest, content = self._manifest(expected)
        try:
            with metered(lambda: sum(size for size, _ in self._store.marks(self.place).values())):
                found = transfer()
        except AeganError:
            self._still_there()
            raise
        lines = []
        if found.pop(manifests.NAME, None) != hashlib.sha256(content).hexdigest():
            lines.append(f"changed: {manifests.NAME}")
        found.pop(manifests.SIGNATURE, None)
        lines += manifests.differences(manifest, Manifest(self.name, found))
        if lines:
            self._still_there()
            raise not_as_published(self.uri, lines)
        return manifest

    def _still_there(self) -> None:
        if self._store.read(f"{self.place}/{manifests.NAME}") is None:
            raise RegistryError(
                f"{self.name} {self.version} was deleted while it was read; use another version"
            ) from None

    def pull(self, target: Path, expected: Expected = None) -> Manifest:
        """Copy into a new folder, checked; it appears whole or not at all.

        A folder that holds the same version already is left as it is, but for a signature that was made
        since, which it gets.

        Raises:
            RegistryError: the folder holds something else, or lies in a bucket.
            IntegrityError: names every extra, missing and changed file.
            StoreError: the folder cannot be written.
        """
        if in_bucket(target):
            raise RegistryError(
                f"{target}: expected a local folder; copy it to the bucket afterwards"
            )
        with writable(target):
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                return self._complete(target, expected)
            target.parent.mkdir(parents=True, exist_ok=True)
            with scratch_in(target.parent) as scratch:
                folder = scratch / self.version
                manifest = self.download(folder, expected)
                folder.rename(target)
        return manifest

    def _complete(self, target: Path, expected: Expected) -> Manifest:
        """Compare a folder with the version; a signature that was made since is added.

        Raises:
            RegistryError: it holds something else.
        """
        manifest, content = self._manifest(expected)
        signature = self.signature()
        lines = ["it is no folder"]
        if target.is_dir():
            with readable(target):
                lines = manifests.differences(manifest, manifests.of_folder(self.name, target))
            if _content(target / manifests.NAME) != content:
                lines.append(f"changed: {manifests.NAME}")
            found = _content(target / manifests.SIGNATURE)
            if found not in (None, signature):
                lines.append(f"changed: {manifests.SIGNATURE}")
        if lines:
            details = "\n".join(f"  {line}" for line in lines)
            raise RegistryError(
                f"{target} exists and holds something other than {self.name} {self.version}:"
                f"\n{details}\nchoose a new folder"
            )
        if signature is not None and found is None:
            with scratch_in(target.parent) as scratch:
                path = scratch / manifests.SIGNATURE
                path.write_bytes(signature)
                path.rename(target / manifests.SIGNATURE)
        return manifest

    def signature(self) -> bytes | None:
        """The contents of `model.sig`, unchecked: it may be anything; None without one."""
        return self._store.read(f"{self.place}/{manifests.SIGNATURE}")

    def sign(self, private_key: Path, password: str | None = None) -> None:
        """Check every file, then sign the manifest.

        Raises:
            RegistryError: the key cannot be used, or the version is signed already.
            DependencyError: the signing library is not installed.
        """
        signatures.require()
        manifest = self.verify()
        signature = signatures.sign(manifest, private_key, password)
        try:
            self._store.write(f"{self.place}/{manifests.SIGNATURE}", signature, if_generation=0)
        except PreconditionError:
            if self.signature() != signature:  # else the answer got lost
                raise RegistryError(
                    f"{self.name} {self.version} is signed already; to sign it with another key,"
                    f" delete {self.uri}/{manifests.SIGNATURE} first"
                ) from None

    def check_trust(self, manifest: Manifest, trust: Trust) -> Path:
        """Check that a trusted key has signed what was verified; returns that key's path.

        Raises:
            IntegrityError: it is not signed, or not by such a key, or for something else.
        """
        what = f"{self.name} {self.version}"
        return signatures.check(manifest, self.signature(), trust, name=self.name, what=what)
