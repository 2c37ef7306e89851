"""A published version that was tampered with is refused, and what was wrong is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines.display import transfers_shown

import aegan
from aegan import manifest as manifests
from aegan import transfers
from aegan.digests import to_json
from aegan.errors import AeganError, IntegrityError, RegistryError, StoreError
from aegan.loading import cached
from aegan.manifest import NAME, SIGNATURE, Manifest
from aegan.registry import Registry
from aegan.store import open_store
from tests.gcs import StrictEmulator
from tests.versions import FILES, folder, publish

EVIL = b"evil"


def _edit(change: Callable[[list[dict[str, str]]], None]) -> Callable[[Any, str], None]:
    """Change the list of files in the manifest."""

    def tamper(store: Any, place: str) -> None:
        tree = json.loads(store.read(f"{place}/{NAME}"))
        change(tree["predicate"]["resources"])
        store.write(f"{place}/{NAME}", to_json(tree))

    return tamper


def _rename(store: Any, place: str) -> None:
    store.write(f"{place}/serving/other", store.read(f"{place}/weights"))
    store.delete(f"{place}/weights")


def _name(index: int, name: str) -> Callable[[list[dict[str, str]]], None]:
    return lambda resources: resources[index].update(name=name)


TAMPERED: dict[str, tuple[Callable[[Any, str], None], str]] = {
    "changed": (lambda s, p: s.write(f"{p}/weights", EVIL), r"changed: weights \(expected"),
    "emptied": (lambda s, p: s.write(f"{p}/README.md", b""), r"changed: README\.md \(expected"),
    "added": (lambda s, p: s.write(f"{p}/serving/evil.pb", EVIL), r"extra: serving/evil\.pb"),
    "removed": (lambda s, p: s.delete(f"{p}/keras/encoder.keras"), r"missing: keras/encoder\.ke"),
    "renamed": (_rename, r"missing: weights\n  extra: serving/other"),
    "manifest: a file less": (_edit(lambda x: x.pop()), "MANIFEST.json was changed: it announces"),
    "manifest: another digest": (
        _edit(lambda x: x[0].update(digest="0" * 64)),
        "MANIFEST.json was changed: it announces",
    ),
    "manifest: another name": (_edit(_name(0, "AAA")), r"missing: AAA\n  extra: README\.md"),
    "manifest: ..": (_edit(_name(0, "../../evil")), r"unsafe object name '\.\./\.\./evil'"),
    "manifest: absolute": (_edit(_name(0, "/etc/passwd")), "unsafe object name '/etc/passwd'"),
    "manifest: .": (_edit(_name(0, "./README.md")), r"unsafe object name '\./README\.md'"),
    "manifest: not JSON": (lambda s, p: s.write(f"{p}/{NAME}", b"{"), "is not a valid manifest"),
}


@pytest.fixture
def version(root: str, tmp_path: Path) -> str:
    return publish(root, tmp_path, "1")[0]


def _uses(root: str, version: str, tmp_path: Path) -> Iterator[Callable[[], object]]:
    registry = Registry(root)
    yield lambda: registry.verify("m", version)
    yield lambda: registry.fetch("m", version, tmp_path / "fetched")
    yield lambda: registry.pull("m", version, tmp_path / "pulled")


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_tampered_with_is_refused_and_named(
    root: str, version: str, tmp_path: Path, case: str
) -> None:
    tamper, message = TAMPERED[case]
    tamper(open_store(root), f"models/m/versions/{version}")
    for use in _uses(root, version, tmp_path):
        with pytest.raises(IntegrityError, match=message):
            use()
    assert not (tmp_path / "pulled").exists()
    assert not (tmp_path / "evil").exists()
    assert not list(tmp_path.glob(".aegan-tmp-*"))


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "./weights", "serving//x"])
def test_an_object_whose_name_leads_elsewhere_is_refused(
    bucket: str, emulator: StrictEmulator, tmp_path: Path, name: str
) -> None:
    [version] = publish(bucket, tmp_path, "1")
    place = f"{bucket.split('/', 3)[3]}/models/m/versions/{version}"
    emulator.list_as(f"{place}/weights", f"{place}/{name}")
    for use in _uses(bucket, version, tmp_path):
        with pytest.raises(AeganError, match=f"unsafe object name .*{re.escape(name)}"):
            use()
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("name", ["README.md/inner", f"{NAME}/inner", f"{SIGNATURE}/a/b"])
def test_an_object_below_a_file_is_named(bucket: str, tmp_path: Path, name: str) -> None:
    [version] = publish(bucket, tmp_path, "1")
    if name.startswith(SIGNATURE):
        open_store(bucket).write(f"models/m/versions/{version}/{SIGNATURE}", b"x")
    open_store(bucket).write(f"models/m/versions/{version}/{name}", b"x")
    for use in _uses(bucket, version, tmp_path):
        with pytest.raises(IntegrityError, match=f"is not what was published:\n  extra: {name}\n"):
            use()
    assert not (tmp_path / "pulled").exists()


@pytest.mark.parametrize("what", ["weights", "serving", NAME, "link"])
def test_a_link_is_refused_wherever_it_points(tmp_path: Path, what: str) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    path = Path(Registry(root).uri("m", version)) / what
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    for use in _uses(root, version, tmp_path):
        with pytest.raises(
            IntegrityError, match=f"{what} is a symbolic link; expected plain files"
        ):
            use()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    os.mkfifo(Path(Registry(root).uri("m", version)) / "pipe")
    for use in _uses(root, version, tmp_path):
        with pytest.raises(IntegrityError, match="pipe is a pipe, socket or device"):
            use()


def test_a_version_whose_folder_is_a_link_is_refused_and_a_root_may_be_one(tmp_path: Path) -> None:
    root = tmp_path / "root"
    [version] = publish(str(root), tmp_path, "1")
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    Registry(str(linked)).verify("m", version)
    place = Path(Registry(str(root)).uri("m", version))
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    for use in _uses(str(root), version, tmp_path):
        with pytest.raises(IntegrityError, match=f"{version} is a symbolic link; expected plain f"):
            use()


def _rename_to_fit(store: Any, place: str) -> None:
    """Rename files in the same order, and in the manifest: the root digest stays what it was."""
    manifest = manifests.parse(store.read(f"{place}/{NAME}"))
    files = dict(manifest.files)
    names = {"serving/autoencoder/1/variables": "serving/a", "weights": "serving/autoencoder/1/x"}
    for old, new in names.items():
        files[new] = files.pop(old)
        store.write(f"{place}/{new}", store.read(f"{place}/{old}"))
        store.delete(f"{place}/{old}")
    renamed = Manifest(manifest.name, files)
    assert renamed.digest == manifest.digest
    store.write(f"{place}/{NAME}", renamed.to_json())


def test_files_that_were_renamed_with_a_manifest_to_fit_are_refused_by_an_alias(
    root: str, version: str, tmp_path: Path
) -> None:
    registry, store = Registry(root), open_store(root)
    alias = registry.promote("m", version, reason="better")
    published = registry.manifest("m", version)
    assert (alias.digest, alias.manifest) == (published.digest, published.sha256)
    _rename_to_fit(store, f"models/m/versions/{version}")
    registry.verify("m", version, alias.digest)  # which knows no names
    for use in (
        lambda: registry.resolve("m", "champion"),
        lambda: aegan.load(f"{root}/models/m@champion"),
        lambda: registry.verify("m", version, published),
        lambda: registry.fetch("m", version, tmp_path / "fetched", published),
        lambda: registry.pull("m", version, tmp_path / "pulled", published),
        lambda: registry.promote("m", version, "stable", reason="by its hold"),
    ):
        with pytest.raises(IntegrityError, match="the manifest was rewritten since it was publish"):
            use()
    assert registry.aliases("m") == {"champion": alias}


def test_a_renamed_version_is_not_rolled_back_to(root: str, tmp_path: Path) -> None:
    registry, store = Registry(root), open_store(root)
    first, second = publish(root, tmp_path, "1", "2")
    for version in (first, second):
        registry.promote("m", version, reason="better")
    _rename_to_fit(store, f"models/m/versions/{first}")
    store.delete(f"models/m/holds/{first}.json")  # what remains is the history of the alias
    with pytest.raises(IntegrityError, match="the manifest was rewritten since it was published"):
        registry.rollback("m", reason="back")
    assert registry.resolve("m", "champion")[0] == second


def test_an_alias_that_knows_no_manifest_is_read_and_moved(
    root: str, version: str, tmp_path: Path
) -> None:
    registry, store, place = Registry(root), open_store(root), "models/m/aliases/champion.json"
    registry.promote("m", version, reason="one")
    tree = json.loads(store.read(place) or b"")
    del tree["manifest"]
    store.write(place, to_json(tree))
    assert registry.resolve("m", "champion")[0] == version
    [other] = publish(root, tmp_path, "2")
    moved = registry.promote("m", other, reason="two")
    assert [bool(move.manifest) for move in (moved, *moved.history)] == [True, False]
    store.write(place, to_json(tree | {"manifest": "0" * 63}))
    with pytest.raises(IntegrityError, match="is not a valid alias"):
        registry.resolve("m", "champion")


# --- Copies


def test_a_version_is_not_pulled_into_a_bucket(root: str, version: str, tmp_path: Path) -> None:
    target = Path("gs://bucket/pulled")
    with pytest.raises(RegistryError, match="gs:/bucket/pulled: expected a local folder; copy it"):
        Registry(root).pull("m", version, target)
    assert not Path("gs:").exists()


def test_a_pulled_version_is_the_published_one(root: str, version: str, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er"
    assert Registry(root).pull("m", version, target) == target
    found = {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    manifest = found.pop(NAME)
    assert manifest == Registry(root).manifest("m", version).to_json()
    assert found == FILES | {"weights": b"1"}
    Registry(root).pull("m", version, target)  # there already: left as it is
    (target / "weights").write_bytes(b"2")
    with pytest.raises(
        RegistryError, match="(?s)exists and holds something other than m .*new folder"
    ):
        Registry(root).pull("m", version, target)
    assert (target / "weights").read_bytes() == b"2"


@pytest.mark.parametrize("hours", [1, 25])
def test_what_a_killed_process_left_beside_it_goes_a_day_later(
    root: str, version: str, tmp_path: Path, hours: int
) -> None:
    left = tmp_path / "pulled" / ".aegan-tmp-left"
    left.mkdir(parents=True)
    (left / "weights").write_bytes(b"half")
    then = time.time() - 3600 * hours
    os.utime(left, (then, then))
    Registry(root).pull("m", version, tmp_path / "pulled" / "here")
    assert left.exists() == (hours == 1)


def test_told_to_end_a_pull_leaves_nothing(
    version: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Lock()  # once, not by every thread that copies

    def end(*_: Any) -> None:
        if told.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    monkeypatch.setattr(transfers, "passed", end)
    target = tmp_path / "pulled" / "here"
    with pytest.raises(SystemExit) as ended, transfers_shown("pull"):
        Registry(root).pull("m", version, target)
    assert ended.value.code == 143
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("name", [NAME, SIGNATURE, "weights", "evil"])
def test_a_pulled_folder_in_which_a_file_is_bad_is_not_said_to_be_the_version(
    root: str, version: str, tmp_path: Path, name: str
) -> None:
    registry, target = Registry(root), tmp_path / "pulled"
    registry.pull("m", version, target)
    (target / name).write_bytes(b"{}")
    with pytest.raises(
        RegistryError, match=f"(?s)holds something other than m .*: {name}.*new folder"
    ):
        registry.pull("m", version, target)
    assert (target / name).read_bytes() == b"{}"


def test_a_pulled_folder_without_a_manifest_is_not_said_to_be_the_version(
    root: str, version: str, tmp_path: Path
) -> None:
    Registry(root).pull("m", version, tmp_path / "pulled")
    (tmp_path / "pulled" / NAME).unlink()
    with pytest.raises(RegistryError, match=f"changed: {NAME}"):
        Registry(root).pull("m", version, tmp_path / "pulled")


def test_a_signature_that_was_made_since_is_pulled_into_the_folder_of_before(
    root: str, version: str, tmp_path: Path
) -> None:
    registry, target = Registry(root), tmp_path / "pulled"
    registry.pull("m", version, target)
    open_store(root).write(f"models/m/versions/{version}/{SIGNATURE}", b"one")
    registry.pull("m", version, target)
    assert (target / SIGNATURE).read_bytes() == b"one"
    assert not list(tmp_path.glob(".aegan-tmp-*"))
    open_store(root).write(f"models/m/versions/{version}/{SIGNATURE}", b"two")
    with pytest.raises(RegistryError, match=f"changed: {SIGNATURE}"):
        registry.pull("m", version, target)


def test_an_empty_folder_is_filled_and_a_file_is_not_replaced(
    root: str, version: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    Registry(root).pull("m", version, tmp_path / "empty")
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(RegistryError, match="exists and holds something other"):
        Registry(root).pull("m", version, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"


def _limited(root: str, version: str, target: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    with pytest.raises(StoreError, match=r"cannot write .*File too large; .* that has room"):
        Registry(root).pull("m", version, Path(target))


def test_a_write_that_the_system_refuses_leaves_nothing(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "x" * 100)
    [large] = publish(root, tmp_path, "y" * 200, verdict=b"[" + b" " * 100_000 + b"]")
    target = tmp_path / "pulled" / "here"
    process = multiprocessing.get_context("fork").Process(
        target=_limited, args=(root, large, str(target))
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert list(target.parent.iterdir()) == []
    Registry(root).pull("m", version, target)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs to be root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_nothing_is_left_on_it(
    root: str, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [version] = publish(root, tmp_path, "1", verdict=b"[" + b" " * 100_000 + b"]")
    registry, manifest = Registry(root), Registry(root).manifest("m", version)
    with pytest.raises(StoreError, match=r"cannot write .*No space left on device; .*has room"):
        registry.pull("m", version, small_disk / "pulled")
    assert list(small_disk.iterdir()) == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    if root.startswith("gs://"):
        with pytest.raises(
            StoreError, match=r"No space left on device; make room, or set XDG_CACHE"
        ):
            cached(registry, "m", version, manifest)
        left = [path.name for path in (small_disk / "aegan").iterdir()]
        assert left == [f".{manifest.sha256}.lock"]
    with pytest.raises(StoreError, match=r"No space left on device"):
        publish(str(small_disk / "root"), tmp_path, "1", verdict=b"[" + b" " * 100_000 + b"]")
    assert Registry(str(small_disk / "root")).names() == []
    assert [x for x in small_disk.rglob("*") if x.is_file() and x.suffix != ".lock"] == []


# --- The shared cache


def _cache(root: str, version: str, variables: dict[str, str], results: Any) -> None:
    os.environ.update(variables)
    copy = cached(Registry(root), "m", version, Registry(root).manifest("m", version))
    results.put((str(copy), (copy / "weights").read_bytes()))


def test_a_cache_that_is_no_folder_is_told_in_our_words(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [version] = publish(bucket, tmp_path, "1")
    registry = Registry(bucket)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot write .*Not a directory; .*set XDG_CACHE_HOME"):
        cached(registry, "m", version, registry.manifest("m", version))


def test_many_processes_fill_the_cache_at_once(bucket: str, tmp_path: Path) -> None:
    [version] = publish(bucket, tmp_path, "1")
    key = Registry(bucket).manifest("m", version).sha256
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["google.cloud.storage", "aegan.loading"])
    results = context.Queue()
    emulator = os.environ["STORAGE_EMULATOR_HOST"]
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "STORAGE_EMULATOR_HOST": emulator}
    arguments = (bucket, version, variables, results)
    processes = [context.Process(target=_cache, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    found = {results.get(timeout=300) for _ in processes}
    for process in processes:
        process.join()
    target = tmp_path / "cache" / "aegan" / key
    assert found == {(str(target), b"1")}
    assert {path.name for path in target.parent.iterdir()} == {key, f".{key}.lock"}


def test_a_changed_copy_in_the_cache_is_replaced(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    [version] = publish(bucket, tmp_path, "1")
    registry, manifest = Registry(bucket), Registry(bucket).manifest("m", version)
    copy = cached(registry, "m", version, manifest)
    for harm in ("change", "add", "remove", "link", "manifest", "no manifest", "sign", "replace"):
        if harm == "change":
            (copy / "weights").write_bytes(EVIL)
        elif harm == "add":
            (copy / "evil").write_bytes(EVIL)
        elif harm == "remove":
            (copy / "weights").unlink()
        elif harm == "manifest":
            (copy / NAME).write_bytes(b"{}")
        elif harm == "no manifest":
            (copy / NAME).unlink()
        elif harm == "sign":
            (copy / SIGNATURE).write_bytes(EVIL)
        elif harm == "link":
            (copy / "weights").unlink()
            (copy / "weights").symlink_to("/etc/hostname")
        else:
            copy.rename(tmp_path / "moved")
            copy.symlink_to(tmp_path / "nowhere")
        assert cached(registry, "m", version, manifest) == copy, harm
        assert (copy / "weights").read_bytes() == b"1"
        assert not (copy / "evil").exists()
        assert not (copy / SIGNATURE).exists()
        assert (copy / NAME).read_bytes() == registry.manifest("m", version).to_json()


def test_the_same_files_of_two_models_have_a_copy_each(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry, folders = Registry(bucket), {}
    for name in ("m", "n"):
        version = registry.publish(name, folder(tmp_path / "source"))
        folders[name] = cached(registry, name, version, registry.manifest(name, version))
    assert folders["m"] != folders["n"]
    for name, copy in folders.items():
        assert manifests.parse((copy / NAME).read_bytes()).name == name


def test_a_version_that_is_deleted_while_it_is_read_is_said_to_be(
    root: str, version: str, tmp_path: Path
) -> None:
    registry, store = Registry(root), open_store(root)
    original = registry._store.digests

    def digests(prefix: str) -> dict[str, str]:
        store.delete(f"{prefix}/{NAME}")
        store.delete(f"{prefix}/weights")
        return original(prefix)

    registry._store.digests = digests  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match=f"m {version} was deleted while it was read"):
        registry.verify("m", version)


def test_a_version_that_is_deleted_before_a_file_of_it_is_read_is_said_to_be(
    root: str, version: str, tmp_path: Path
) -> None:
    registry, store = Registry(root), open_store(root)
    original = registry._store.read

    def read(path: str) -> bytes | None:
        if path.endswith("/weights"):
            store.delete(path.replace("weights", NAME))
            store.delete(path)
        return original(path)

    registry._store.read = read  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match=f"m {version} was deleted while it was read"):
        registry.read_file("m", version, "weights")
