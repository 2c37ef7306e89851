"""The registry's promises, the same on a folder and on a bucket."""

from __future__ import annotations

import datetime
import json
import re
import threading
import time
from pathlib import Path

import pytest

from aegan import manifest as manifests
from aegan.aliases import Alias, Move
from aegan.errors import IntegrityError, RegistryError, StoreError
from aegan.manifest import Manifest
from aegan.references import VERSION_PATTERN, parse_reference
from aegan.registry import Registry
from aegan.store import open_store

FILES = {
    "config.yaml": b"name: m\n",
    "keras/encoder.keras": bytes(range(256)),
    "a.b": b"",
    "a/b": b"x",
}
UNKNOWN = "20260101T000000Z-0123456789ab"


def _folder(path: Path, **changes: bytes) -> Path:
    for name, content in (FILES | changes).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def _publish(root: str, tmp_path: Path, *contents: bytes) -> list[str]:
    """A version of the model `m` for each of these contents of one of its files."""
    return [
        Registry(root).publish("m", _folder(tmp_path / f"source-{number}", weights=content))
        for number, content in enumerate(contents)
    ]


def _contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


# --- Versions


def test_a_published_folder_is_fetched_as_it_was(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    version = registry.publish("m", _folder(tmp_path / "source"))
    found = _contents(registry.fetch("m", version, tmp_path / "scratch"))
    manifest = found.pop(manifests.NAME)
    assert found == FILES
    assert manifests.parse(manifest) == manifests.of_folder("m", tmp_path / "source")


def test_a_version_is_named_by_time_and_content(root: str, tmp_path: Path) -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    version = Registry(root).publish("m", _folder(tmp_path / "source"))
    after = datetime.datetime.now(datetime.UTC)
    assert re.fullmatch(VERSION_PATTERN, version)
    time, digest = version.split("-")
    assert before <= datetime.datetime.strptime(time, "%Y%m%dT%H%M%S%z") <= after
    assert digest == manifests.of_folder("m", tmp_path / "source").digest[:12]


def test_a_version_resolves_by_alias_and_by_itself(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    [version] = _publish(root, tmp_path, b"1")
    registry.set_alias("m", "champion", version, "first")
    digest = manifests.of_folder("m", tmp_path / "source-0").digest
    assert registry.resolve("m", "champion") == (version, digest)
    assert registry.resolve("m", version) == (version, digest)
    assert registry.uri("m", version) == f"{root}/models/m/versions/{version}"


def test_a_version_resolves_by_its_root_digest(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    first, _ = _publish(root, tmp_path, b"1", b"2")
    digest = manifests.of_folder("m", tmp_path / "source-0").digest
    assert registry.resolve("m", digest) == (first, digest)
    time.sleep(1.1)
    again = registry.publish("m", tmp_path / "source-0")
    assert again != first
    assert registry.resolve("m", digest) == (again, digest)
    open_store(root).write(f"models/m/versions/{again}/{manifests.NAME}", b"{}")
    assert registry.resolve("m", digest) == (first, digest)
    open_store(root).write(f"models/m/versions/{first}/{manifests.NAME}", b"{}")
    with pytest.raises(IntegrityError, match="not a valid manifest"):
        registry.resolve("m", digest)


def test_a_digest_that_agrees_in_its_first_digits_alone_names_nothing(
    root: str, tmp_path: Path
) -> None:
    [version] = _publish(root, tmp_path, b"1")
    digest = manifests.of_folder("m", tmp_path / "source-0").digest
    for other in (digest[:12] + "0" * 52, "0" * 64):
        message = f"no version of m in .* has the root digest {other}: .*its versions {version}"
        with pytest.raises(RegistryError, match=message):
            Registry(root).resolve("m", other)


def test_versions_and_models_are_listed(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    assert (registry.names(), registry.versions("m"), registry.aliases("m")) == ([], [], {})
    versions = _publish(root, tmp_path, b"1", b"2")
    other = registry.publish("another-model", tmp_path / "source-0")
    assert registry.names() == ["another-model", "m"]
    assert registry.versions("m") == sorted(versions)
    assert registry.versions("another-model") == [other]


def test_publishing_leaves_older_versions_as_they_were(root: str, tmp_path: Path) -> None:
    contents = [b"1", b"2", b"3"]
    versions = _publish(root, tmp_path, *contents)
    for version, content in zip(versions, contents, strict=True):
        folder = Registry(root).fetch("m", version, tmp_path / f"scratch-{version}")
        assert (folder / "weights").read_bytes() == content


def test_a_version_without_a_manifest_does_not_exist(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    open_store(root).write(f"models/m/versions/{UNKNOWN}/weights", b"half an upload")
    assert registry.names() == []
    assert registry.versions("m") == []
    with pytest.raises(RegistryError, match=f"no version {UNKNOWN} of m in .*, found none"):
        registry.resolve("m", UNKNOWN)
    with pytest.raises(RegistryError, match=f"no version {UNKNOWN}"):
        registry.fetch("m", UNKNOWN, tmp_path / "scratch")
    with pytest.raises(RegistryError, match=f"no version {UNKNOWN}"):
        registry.set_alias("m", "champion", UNKNOWN, "too early")
    assert registry.aliases("m") == {}


def test_a_folder_with_a_link_is_not_published(root: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "source")
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(IntegrityError, match="link is a symbolic link; expected plain files"):
        Registry(root).publish("m", folder)
    assert open_store(root).list("models") == []


def test_a_file_whose_name_no_reader_accepts_is_not_published(root: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "source", **{"deep/back\\slash": b"x"})
    message = r"unsafe object name 'deep/back\\\\slash': expected a relative path .* backslash"
    with pytest.raises(StoreError, match=message):
        Registry(root).publish("m", folder)
    assert open_store(root).list("") == []
    assert not Path(root).exists() or not list(Path(root).iterdir())


def test_what_is_no_folder_is_not_published(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for name, found in (("nothing", "nothing there"), ("file", "a file")):
        message = f"cannot publish .*/{name}: expected a folder, found {found}"
        with pytest.raises(RegistryError, match=message):
            Registry(root).publish("m", tmp_path / name)
    assert open_store(root).list("") == []


def test_the_same_bytes_in_the_same_second_are_the_same_version(root: str, tmp_path: Path) -> None:
    registry, folder = Registry(root), _folder(tmp_path / "source")
    for _ in range(20):  # until a pair does not straddle a second
        one, other = registry.publish("m", folder), registry.publish("m", folder)
        if one == other:
            break
    assert one == other
    assert registry.versions("m").count(one) == 1
    assert (registry.fetch("m", one, tmp_path / "scratch") / "a/b").read_bytes() == FILES["a/b"]


# --- Aliases


def test_an_alias_remembers_where_it_pointed_before(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    first, second = _publish(root, tmp_path, b"1", b"2")
    before = registry.set_alias("m", "champion", first, "first")
    assert (before.previous, before.history) == (None, ())
    moved = registry.set_alias("m", "champion", second, "better")
    assert (moved.version, moved.previous, moved.reason) == (second, first, "better")
    assert moved.digest == registry.manifest("m", second).digest
    assert moved.by
    assert abs(
        datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(moved.at)
    ) < datetime.timedelta(minutes=1)
    assert registry.aliases("m") == {"champion": moved}
    assert moved.history == (Move(**{key: vars(before)[key] for key in vars(moved.history[0])}),)


def test_pointing_an_alias_where_it_points_changes_nothing(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    [version] = _publish(root, tmp_path, b"1")
    before = registry.set_alias("m", "champion", version, "first")
    assert registry.set_alias("m", "champion", version, "again") == before
    assert registry.aliases("m") == {"champion": before}


def test_aliases_move_apart_from_each_other(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    first, second = _publish(root, tmp_path, b"1", b"2")
    registry.set_alias("m", "champion", first, "first")
    registry.set_alias("m", "candidate", first, "first")
    registry.set_alias("m", "candidate", second, "second")
    found = registry.aliases("m")
    assert {alias: target.version for alias, target in found.items()} == {
        "champion": first,
        "candidate": second,
    }


def test_an_alias_file_is_canonical(root: str, tmp_path: Path) -> None:
    [version] = _publish(root, tmp_path, b"1")
    written = Registry(root).set_alias("m", "champion", version, "first")
    content = open_store(root).read("models/m/aliases/champion.json")
    assert content is not None
    tree = json.loads(content)
    assert content.decode() == json.dumps(tree, indent=2, sort_keys=True) + "\n"
    assert Alias(**tree | {"history": ()}) == written


def test_no_move_is_lost_when_many_move_an_alias(root: str, tmp_path: Path) -> None:
    """Each move names the one before, so that they form one chain from the first to the last."""
    versions = _publish(root, tmp_path, *(bytes([number]) for number in range(8)))
    moves: list[Alias] = []
    start = threading.Barrier(len(versions))

    def move(version: str) -> None:
        registry = Registry(root)
        start.wait()
        moves.append(registry.set_alias("m", "champion", version, "race"))

    racers = [threading.Thread(target=move, args=(version,)) for version in versions]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    following = {move.previous: move.version for move in moves}
    assert len(moves) == len(following) == len(versions)
    chain: list[str] = []
    while (after := following.get(chain[-1] if chain else None)) is not None:
        chain.append(after)
    assert sorted(chain) == sorted(versions)
    assert Registry(root).resolve("m", "champion")[0] == chain[-1]


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"", b"{", b"[]", b"5", b'{"version": "x"}', b'{"evil": 1}']
)
def test_a_damaged_alias_is_named(root: str, content: bytes) -> None:
    open_store(root).write("models/m/aliases/champion.json", content)
    with pytest.raises(
        IntegrityError, match=r"models/m/aliases/champion\.json is not a valid alias"
    ):
        Registry(root).resolve("m", "champion")


def test_a_damaged_alias_leaves_the_others_readable(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    [version] = _publish(root, tmp_path, b"1")
    kept = registry.set_alias("m", "champion", version, "first")
    open_store(root).write("models/m/aliases/broken.json", b"[" * 100_000)
    found, [error] = registry.readable_aliases("m")
    assert found == {"champion": kept}
    assert "models/m/aliases/broken.json is not a valid alias" in str(error)
    with pytest.raises(IntegrityError, match="broken.json is not a valid alias"):
        registry.aliases("m")
    with pytest.raises(RegistryError, match="no alias 'x' .*: expected one of broken, champion"):
        registry.resolve("m", "x")


# --- Messages


def test_an_unknown_model_names_those_that_exist(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    with pytest.raises(
        RegistryError, match=r"'fasion' in .* expected a published model, found none"
    ):
        registry.resolve("fasion", "champion")
    registry.publish("fashion", _folder(tmp_path / "source"))
    _publish(root, tmp_path, b"1")
    with pytest.raises(
        RegistryError, match=r"model 'fasion' in .*: no such model; .* of fashion, m"
    ):
        registry.resolve("fasion", "champion")


def test_an_unknown_alias_names_those_that_exist(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    first, second = sorted(_publish(root, tmp_path, b"1", b"2"))
    message = (
        f"no alias 'champion' .* it has no alias; expected one of its versions {first}, {second}"
    )
    with pytest.raises(RegistryError, match=message):
        registry.resolve("m", "champion")
    registry.set_alias("m", "candidate", first, "")
    registry.set_alias("m", "archive", first, "")
    with pytest.raises(
        RegistryError, match=r"no alias 'champion' .*: expected one of archive, cand"
    ):
        registry.resolve("m", "champion")


def test_an_unknown_version_names_those_that_exist(root: str, tmp_path: Path) -> None:
    versions = sorted(_publish(root, tmp_path, b"1", b"2"))
    message = (
        f"no version {UNKNOWN} of m in {re.escape(root)}: it has no alias; expected one of its"
    )
    message += f" versions {', '.join(versions)}"
    with pytest.raises(RegistryError, match=message):
        Registry(root).resolve("m", UNKNOWN)


def test_an_alias_of_a_version_that_is_gone_says_what_to_do(root: str, tmp_path: Path) -> None:
    first, second = sorted(_publish(root, tmp_path, b"1", b"2"))
    Registry(root).set_alias("m", "champion", first, "")
    open_store(root).delete(f"models/m/versions/{first}/MANIFEST.json")
    message = f"no version {first} of m in .*, which the alias 'champion' names: .* one of {second}"
    with pytest.raises(RegistryError, match=message):
        Registry(root).resolve("m", "champion")


@pytest.mark.parametrize("version", ["latest", UNKNOWN + "\n", UNKNOWN.upper(), f"../{UNKNOWN}"])
def test_what_is_not_a_version_is_refused(root: str, version: str) -> None:
    with pytest.raises(
        RegistryError, match="is not a version: expected <yyyymmddThhmmssZ>-<12 hex"
    ):
        Registry(root).manifest("m", version)


@pytest.mark.parametrize("name", ["", "Model", "1m", "a_b", "a/b", "..", "m\n", "é", "x" * 64])
def test_bad_names_are_refused_everywhere(root: str, tmp_path: Path, name: str) -> None:
    registry, folder = Registry(root), _folder(tmp_path / "source")
    version = registry.publish("m", folder)
    message = "is not a name: expected lower-case letters, digits and hyphens, beginning with a let"
    for use in (
        lambda: registry.publish(name, folder),
        lambda: registry.versions(name),
        lambda: registry.aliases(name),
        lambda: registry.resolve(name, "champion"),
        lambda: registry.resolve("m", name),
        lambda: registry.set_alias("m", name, version, ""),
        lambda: registry.fetch(name, version, tmp_path / "scratch"),
    ):
        with pytest.raises(RegistryError, match=message):
            use()
    assert registry.names() == ["m"]


# --- Integrity


def test_every_file_that_was_tampered_with_is_named(root: str, tmp_path: Path) -> None:
    [version] = _publish(root, tmp_path, b"1")
    store, prefix = open_store(root), f"models/m/versions/{version}"
    store.write(f"{prefix}/weights", b"2")
    store.write(f"{prefix}/serving/evil.pb", b"evil")
    store.delete(f"{prefix}/config.yaml")
    with pytest.raises(IntegrityError) as caught:
        Registry(root).fetch("m", version, tmp_path / "scratch")
    first, *lines, last = str(caught.value).split("\n")
    assert first == f"{root}/{prefix} is not what was published:"
    assert lines[:2] == ["  missing: config.yaml", "  extra: serving/evil.pb"]
    assert re.fullmatch(r"  changed: weights \(expected .{12}…, found .{12}…\)", lines[2])
    assert len(lines) == 3
    assert last == "use another version, and find out who changed this one"


@pytest.mark.parametrize("position", [0, 127, 255])
def test_one_flipped_bit_is_found(root: str, tmp_path: Path, position: int) -> None:
    [version] = _publish(root, tmp_path, b"1")
    content = bytearray(FILES["keras/encoder.keras"])
    content[position] ^= 1
    open_store(root).write(f"models/m/versions/{version}/keras/encoder.keras", bytes(content))
    with pytest.raises(IntegrityError, match=r"\n  changed: keras/encoder\.keras \(expected"):
        Registry(root).fetch("m", version, tmp_path / "scratch")


def test_a_link_put_into_a_published_folder_is_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    [version] = _publish(str(root), tmp_path, b"1")
    weights = root / "models" / "m" / "versions" / version / "weights"
    weights.rename(tmp_path / "weights")
    weights.symlink_to(tmp_path / "weights")
    with pytest.raises(IntegrityError, match="weights is a symbolic link"):
        Registry(str(root)).fetch("m", version, tmp_path / "scratch")


def test_an_edited_manifest_is_refused(root: str, tmp_path: Path) -> None:
    [version] = _publish(root, tmp_path, b"1")
    store, place = open_store(root), f"models/m/versions/{version}/{manifests.NAME}"
    content = store.read(place)
    assert content is not None
    tree = json.loads(content)
    tree["predicate"]["resources"].pop()
    store.write(place, json.dumps(tree).encode())
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json was changed: it announces the root"):
        Registry(root).fetch("m", version, tmp_path / "scratch")


def test_a_manifest_rewritten_for_other_files_is_refused(root: str, tmp_path: Path) -> None:
    [version] = _publish(root, tmp_path, b"1")
    files = manifests.of_folder("m", _folder(tmp_path / "evil", weights=b"evil")).files
    evil = Manifest("m", files)
    prefix = f"models/m/versions/{version}"
    open_store(root).write(f"{prefix}/weights", b"evil")
    open_store(root).write(f"{prefix}/{manifests.NAME}", evil.to_json())
    message = (
        f"m {version}: the manifest is that of other files, root digest {evil.digest[:12]}…; use"
    )
    with pytest.raises(IntegrityError, match=message):
        Registry(root).fetch("m", version, tmp_path / "scratch")
    with pytest.raises(IntegrityError, match=message):
        Registry(root).resolve("m", version)


def test_the_manifest_of_another_model_is_refused(root: str, tmp_path: Path) -> None:
    registry, store = Registry(root), open_store(root)
    [version] = _publish(root, tmp_path, b"1")
    store.upload(Path(registry.fetch("m", version, tmp_path / "x")), f"models/n/versions/{version}")
    message = f"models/n/versions/{version}: the manifest is that of a model named 'm'; use another"
    for use in (registry.resolve, registry.verify, registry.manifest):
        with pytest.raises(IntegrityError, match=message):
            use("n", version)


def test_a_version_with_another_digest_than_expected_is_refused(root: str, tmp_path: Path) -> None:
    [version] = _publish(root, tmp_path, b"1")
    digest = manifests.of_folder("m", tmp_path / "source-0").digest
    assert Registry(root).fetch("m", version, tmp_path / "scratch", digest).is_dir()
    with pytest.raises(
        IntegrityError, match=f"root digest {digest[:12]}…, expected 0{{12}}…; use ano"
    ):
        Registry(root).fetch("m", version, tmp_path / "scratch", "0" * 64)


# --- References


@pytest.mark.parametrize(
    ("uri", "root", "name", "reference"),
    [
        ("models/x", ".", "x", "champion"),
        ("./models/x", ".", "x", "champion"),
        ("../models/x@candidate", "..", "x", "candidate"),
        ("folder/models/x", "folder", "x", "champion"),
        ("/srv/data/models/x", "/srv/data", "x", "champion"),
        ("/srv/data/models/x/", "/srv/data", "x", "champion"),
        ("/models/x", "/", "x", "champion"),
        ("/models/models/x", "/models", "x", "champion"),
        ("~/aegan/models/fashion-mnist@champion", "~/aegan", "fashion-mnist", "champion"),
        ("gs://bucket/models/x", "gs://bucket", "x", "champion"),
        ("gs://bucket/a/b/models/x@champion", "gs://bucket/a/b", "x", "champion"),
        (f"gs://bucket/a/models/x@{UNKNOWN}", "gs://bucket/a", "x", UNKNOWN),
        (f"gs://bucket/a/models/x/versions/{UNKNOWN}", "gs://bucket/a", "x", UNKNOWN),
        (f"gs://bucket/a/models/x@{'0a' * 32}", "gs://bucket/a", "x", "0a" * 32),
        (f"a/models/x/versions/{UNKNOWN}/", "a", "x", UNKNOWN),
        ("gs://models/models/x", "gs://models", "x", "champion"),
        ("models/models@models", ".", "models", "models"),
        ("my models/models/x", "my models", "x", "champion"),
    ],
)
def test_references_to_a_model_are_understood(
    uri: str, root: str, name: str, reference: str
) -> None:
    assert parse_reference(uri) == (root, name, reference)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "x",
        "fashion@champion",
        "gs://bucket",
        "gs://bucket/x",
        "gs://models/x",  # a bucket called models
        "models",
        "models/",
        "a/mymodels/x",
        "models/x@",
        "models/x@a@b",
        "models/x/versions",
        "models/x/versions/",
        "models/x/aliases/champion.json",
        "models/x/y",
    ],
)
def test_what_refers_to_no_model_is_refused_with_an_example(uri: str) -> None:
    message = r"names no model: expected <root>/models/<name>@<alias, version or digest>, for example gs://"
    with pytest.raises(RegistryError, match=message):
        parse_reference(uri)


@pytest.mark.parametrize("name", ["X", "x_y", "1x", "x y", "x.y", "x\n", "-x", "x%2e", "a" * 64])
def test_a_reference_to_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(RegistryError, match="is not a name: expected lower-case letters, digits"):
        parse_reference(f"gs://bucket/models/{name}@champion")
