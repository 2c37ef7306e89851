"""The list of what a version consists of: an unsigned OpenSSF Model Signing v1.0 statement.

Files in path order with their SHA-256, and one root digest over those digests. The same bytes, when
signed, are what the public `model_signing` verifier checks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aegan.digests import to_json
from aegan.errors import IntegrityError, StoreError
from aegan.references import DIGEST_PATTERN
from aegan.store import below_others, check_file_name
from aegan.transfers import digest_of, in_parallel, plain_files

NAME = "MANIFEST.json"
SIGNATURE = "model.sig"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class Manifest:
    """Names and digests of a version's files.

    Attributes:
        name: of the model.
        files: SHA-256 in hex by path, without the manifest itself.
    """

    name: str
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over the raw digests of all files in path order: knows no names.

        As the specification has it, so that the public tool computes the same.
        """
        hasher = hashlib.sha256()
        for name in self._ordered():
            hasher.update(bytes.fromhex(self.files[name]))
        return hasher.hexdigest()

    @property
    def sha256(self) -> str:
        """SHA-256 of the statement, in hex: unlike the root digest, it fixes the names of the files."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """The statement, canonical."""
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.name, "digest": {"sha256": self.digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [NAME, SIGNATURE],
                },
                "resources": [
                    {"name": name, "algorithm": "sha256", "digest": self.files[name]}
                    for name in self._ordered()
                ],
            },
        }
        return to_json(statement)

    def _ordered(self) -> list[str]:
        # By path component, not by character: the order the specification's reference tool uses.
        return sorted(self.files, key=lambda name: PurePosixPath(name).parts)


def parse(content: bytes) -> Manifest:
    """Read a statement and check that it is consistent and canonical.

    Raises:
        IntegrityError: it is not a statement of this kind, holds an unsafe path, its root digest is not
            that of its files, or it was written otherwise than `Manifest.to_json` does.
    """
    try:
        tree: dict[str, Any] = json.loads(content)
        subject, resources = tree["subject"][0], tree["predicate"]["resources"]
        if tree["_type"] != STATEMENT_TYPE or tree["predicateType"] != PREDICATE_TYPE:
            raise IntegrityError(
                f"{NAME}: expected a statement of type {PREDICATE_TYPE},"
                f" received {tree['predicateType']}"
            )
        files = {check_file_name(item["name"]): _digest(item["digest"]) for item in resources}
        if misplaced := below_others(files):
            raise ValueError(f"{min(misplaced)!r} lies below another file")
        if len(files) != len(resources) or {item["algorithm"] for item in resources} != {"sha256"}:
            raise IntegrityError(f"{NAME}: expected distinct files with sha256 digests")
        manifest = Manifest(str(subject["name"]), files)
        announced = subject["digest"]["sha256"]
        consistent = manifest.digest == announced
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, StoreError) as error:
        raise IntegrityError(f"{NAME} is not a valid manifest: {error!r}") from None
    if not consistent:
        raise IntegrityError(
            f"{NAME} was changed: it announces the root digest {announced[:12]}…,"
            f" its files give {manifest.digest[:12]}…"
        )
    if manifest.to_json() != content:  # the root digest knows neither names nor other fields
        raise IntegrityError(
            f"{NAME} was edited: expected the canonical statement of its files, without other fields,"
            " order or spaces"
        )
    return manifest


def _digest(text: str) -> str:
    if not re.fullmatch(DIGEST_PATTERN, text):
        raise ValueError(f"{text!r} is no digest")
    return text


def of_folder(name: str, folder: Path) -> Manifest:
    """The manifest of all files in a folder, but a manifest or signature in it.

    Raises:
        IntegrityError: the folder holds something that is no plain file.
    """
    names = [path for path in plain_files(folder) if path not in (NAME, SIGNATURE)]
    digests = in_parallel(lambda path: digest_of(folder / path), names)
    return Manifest(name, dict(zip(names, digests, strict=True)))


def differences(expected: Manifest, found: Manifest) -> list[str]:
    """Every extra, missing and changed file, one line each; empty if there is none."""
    lines = [f"missing: {name}" for name in sorted(expected.files.keys() - found.files.keys())]
    lines += [f"extra: {name}" for name in sorted(found.files.keys() - expected.files.keys())]
    common = sorted(expected.files.keys() & found.files.keys())
    return lines + [
        f"changed: {name} (expected {expected.files[name][:12]}…, found {found.files[name][:12]}…)"
        for name in common
        if expected.files[name] != found.files[name]
    ]
