"""The manifest: one digest for all files, and no way to change one unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aegan import manifest as manifests
from aegan.errors import IntegrityError
from aegan.manifest import Manifest, differences, of_folder, parse

FILES = {
    "a.b": b"one",
    "a/b": b"two",
    "a/c/d": b"three",
    "README.md": b"four",
}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(**changes: bytes) -> Manifest:
    return Manifest("m", {name: _sha256(content) for name, content in (FILES | changes).items()})


def _folder(path: Path) -> Path:
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def _changed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    tree = json.loads(_manifest().to_json())
    change(tree)
    return json.dumps(tree).encode()


def test_the_root_digest_follows_path_components_and_not_characters() -> None:
    # "." sorts before "/", but the component "a" before "a.b".
    assert sorted(FILES) == ["README.md", "a.b", "a/b", "a/c/d"]
    order = ["README.md", "a/b", "a/c/d", "a.b"]
    digests = b"".join(hashlib.sha256(FILES[name]).digest() for name in order)
    assert _manifest().digest == _sha256(digests)
    resources = json.loads(_manifest().to_json())["predicate"]["resources"]
    assert [resource["name"] for resource in resources] == order


def test_the_order_of_insertion_does_not_matter() -> None:
    backwards = Manifest("m", dict(reversed(_manifest().files.items())))
    assert backwards.to_json() == _manifest().to_json()


def test_the_statement_is_canonical_and_reads_back() -> None:
    content = _manifest().to_json()
    tree = json.loads(content)
    assert content.decode() == json.dumps(tree, indent=2, sort_keys=True) + "\n"
    assert parse(content) == _manifest()
    assert parse(content).to_json() == content


def test_the_statement_is_one_that_verifiers_of_signatures_know() -> None:
    """The fields of https://github.com/sigstore/model-transparency, specification 1.0."""
    tree = json.loads(_manifest().to_json())
    assert tree["_type"] == "https://in-toto.io/Statement/v1"
    assert tree["predicateType"] == "https://model_signing/signature/v1.0"
    assert tree["subject"] == [{"name": "m", "digest": {"sha256": _manifest().digest}}]
    assert tree["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": ["MANIFEST.json", "model.sig"],
    }
    assert all(
        resource.keys() == {"name", "algorithm", "digest"} and resource["algorithm"] == "sha256"
        for resource in tree["predicate"]["resources"]
    )


def test_a_folder_is_listed_with_everything_below_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / ".hidden").write_bytes(b"five")
    (folder / "empty").mkdir()
    assert of_folder("m", folder) == Manifest(
        "m", {**_manifest().files, ".hidden": _sha256(b"five")}
    )


def test_only_the_manifest_and_signature_at_the_top_are_left_out(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    for name in (manifests.NAME, manifests.SIGNATURE):
        (folder / name).write_bytes(b"not listed")
        (folder / "a" / name).write_bytes(b"listed")
    extra = {f"a/{name}" for name in (manifests.NAME, manifests.SIGNATURE)}
    assert of_folder("m", folder).files.keys() == FILES.keys() | extra


@pytest.mark.parametrize("target", ["a.b", "a", "nowhere"])
@pytest.mark.parametrize("link", ["link", "a/link", manifests.NAME])
def test_a_symbolic_link_is_refused(tmp_path: Path, link: str, target: str) -> None:
    folder = _folder(tmp_path)
    (folder / link).symlink_to(folder / target)
    with pytest.raises(IntegrityError, match=f"{link} is a symbolic link; expected plain files"):
        of_folder("m", folder)


def test_a_root_digest_that_does_not_fit_is_refused() -> None:
    other = "0" * 64
    content = _changed(lambda tree: tree["subject"][0]["digest"].update(sha256=other))
    message = f"was changed: it announces the root digest 0{{12}}…, .* {_manifest().digest[:12]}…"
    with pytest.raises(IntegrityError, match=message):
        parse(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda resources: resources[0].update(digest=_sha256(b"evil")),
        lambda resources: resources.pop(),
        lambda resources: resources.append(
            {"name": "evil", "algorithm": "sha256", "digest": _sha256(b"evil")}
        ),
        lambda resources: resources[0].update(name="zzz"),  # moves to another place in the order
    ],
    ids=["changed", "removed", "added", "moved"],
)
def test_a_list_of_files_that_does_not_fit_the_root_digest_is_refused(
    change: Callable[[list[dict[str, str]]], Any],
) -> None:
    content = _changed(lambda tree: change(tree["predicate"]["resources"]))
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json was changed: it announces the root"):
        parse(content)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/passwd", "", "a\\b", "a\0b", 5])
def test_a_path_that_leads_outside_is_refused(name: Any) -> None:
    content = _changed(lambda tree: tree["predicate"]["resources"][0].update(name=name))
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json is not a valid manifest: "):
        parse(content)


def test_a_file_below_a_file_is_refused() -> None:
    files = {"a": _sha256(b"1"), "b/c": _sha256(b"2"), "b/c/d/e": _sha256(b"3")}
    with pytest.raises(
        IntegrityError, match="not a valid manifest: .*'b/c/d/e' lies below another"
    ):
        parse(Manifest("m", files).to_json())


def test_a_name_that_stands_twice_is_refused() -> None:
    content = _changed(
        lambda tree: tree["predicate"]["resources"].append(tree["predicate"]["resources"][0])
    )
    with pytest.raises(IntegrityError, match="expected distinct files with sha256 digests"):
        parse(content)


def test_another_kind_of_digest_is_refused() -> None:
    content = _changed(lambda tree: tree["predicate"]["resources"][1].update(algorithm="blake2b"))
    with pytest.raises(IntegrityError, match="expected distinct files with sha256 digests"):
        parse(content)


def test_another_predicate_is_refused() -> None:
    content = _changed(lambda tree: tree.update(predicateType="https://slsa.dev/provenance/v1"))
    message = r"expected a statement of type https://model_signing/.*, received https://slsa\.dev/"
    with pytest.raises(IntegrityError, match=message):
        parse(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"subject": []}',
        _changed(lambda tree: tree.pop("predicate")),
        _changed(lambda tree: tree["subject"].clear()),
        _changed(lambda tree: tree["subject"][0].pop("digest")),
        _changed(lambda tree: tree["predicate"]["resources"][0].pop("digest")),
        _changed(lambda tree: tree["predicate"]["resources"][0].update(digest="not hex")),
        _changed(lambda tree: tree["predicate"].update(resources=5)),
        _changed(lambda tree: tree["predicate"]["resources"][0].update(digest="0a")),
        _changed(lambda tree: tree["predicate"]["resources"][0].update(digest="0A" * 32)),
        b"[" * 100_000,
        b'{"subject":' * 100_000,
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json is not a valid manifest: "):
        parse(content)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content + b"\n",
        lambda content: content.rstrip(),
        lambda content: content.replace(b"  ", b" "),
        lambda content: content.replace(b'"_type"', b'"_type": "evil",\n  "_type"'),
        lambda content: content.replace(b'"_type"', b'"evil": 1,\n  "_type"'),
        lambda content: content.replace(b'"allow_symlinks": false', b'"allow_symlinks": true'),
        lambda content: content.replace(b'"MANIFEST.json"', b'"weights"'),
        lambda content: content.replace(b'"README.md"', b'"README\\u002emd"'),
    ],
)
def test_a_statement_that_is_not_canonical_is_refused(edit: Callable[[bytes], bytes]) -> None:
    content = edit(_manifest().to_json())
    assert content != _manifest().to_json()
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json was edited: expected the canonical"):
        parse(content)


def test_no_changed_byte_of_a_manifest_yields_other_contents() -> None:
    """Names are not part of the root digest: a changed one shows when files are compared."""
    content = _manifest().to_json()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x01
        try:
            found = parse(bytes(changed))
        except IntegrityError:
            continue
        assert found.digest == _manifest().digest
        assert sorted(found.files.values()) == sorted(_manifest().files.values())


def test_equal_files_do_not_differ() -> None:
    assert differences(_manifest(), Manifest("other name", dict(_manifest().files))) == []


def test_every_missing_extra_and_changed_file_is_named() -> None:
    files = dict(_manifest(**{"a/b": b"changed"}).files)
    del files["a.b"], files["README.md"]
    files |= {"evil.py": _sha256(b"evil"), "another": _sha256(b"evil")}
    assert differences(_manifest(), Manifest("m", files)) == [
        "missing: README.md",
        "missing: a.b",
        "extra: another",
        "extra: evil.py",
        f"changed: a/b (expected {_sha256(b'two')[:12]}…, found {_sha256(b'changed')[:12]}…)",
    ]
