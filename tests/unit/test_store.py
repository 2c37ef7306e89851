"""The store's promises, the same on a folder and on a bucket."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from google.cloud import storage
from packaging.requirements import Requirement

from aegan import gcs_store
from aegan.errors import IntegrityError, PreconditionError, StoreError
from aegan.store import check_writable, files_below, open_store
from aegan.transfers import CHUNK
from tests.privileges import run_without_privileges


def test_what_is_written_is_read_back(root: str) -> None:
    store = open_store(root)
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"two")
    assert store.read("a/b.json") == b"two"
    assert store.list("a") == ["a/b.json"]


def test_an_object_that_is_not_there_reads_as_none(root: str) -> None:
    assert open_store(root).read_versioned("nothing/here") == (None, 0)
    assert open_store(root).list("nothing") == []


def test_listing_does_not_confuse_prefixes_with_names(root: str) -> None:
    store = open_store(root)
    store.write("ab/x", b"1")
    store.write("a/x", b"2")
    assert store.list("a") == ["a/x"]
    store.delete("a")
    assert store.list("") == ["ab/x"]


def test_create_only_refuses_an_existing_object_and_keeps_it(root: str) -> None:
    store = open_store(root)
    store.write("once", b"first", if_generation=0)
    with pytest.raises(PreconditionError):
        store.write("once", b"second", if_generation=0)
    assert store.read("once") == b"first"


def test_create_only_holds_for_what_is_sent_in_a_session_too(root: str) -> None:
    store, large = open_store(root), bytes(9 * 2**20)
    store.write("large", large, if_generation=0)
    with pytest.raises(PreconditionError):
        store.write("large", b"!" + large, if_generation=0)
    assert store.read("large") == large


def test_compare_and_swap_refuses_a_stale_generation(root: str) -> None:
    store = open_store(root)
    store.write("alias", b"one")
    _, stale = store.read_versioned("alias")
    store.write("alias", b"two", if_generation=stale)
    with pytest.raises(PreconditionError):
        store.write("alias", b"three", if_generation=stale)
    assert store.read("alias") == b"two"


def test_folders_survive_the_round_trip(root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "top.txt").write_bytes(b"top")
    (source / "deep" / "er" / "file.bin").write_bytes(bytes(range(256)))
    store = open_store(root)
    store.upload(source, "models/m")
    folder = store.fetch("models/m", tmp_path / "scratch")
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert found == {"top.txt": b"top", "deep/er/file.bin": bytes(range(256))}


@pytest.mark.parametrize("harm", ["changed", "removed"])
@pytest.mark.parametrize("size", [100, 9 * 2**20])  # sent in one request, and in a session
def test_files_that_are_changed_after_they_were_hashed_do_not_reach_a_bucket(
    bucket: str, tmp_path: Path, harm: str, size: int
) -> None:
    source, store = tmp_path / "source", open_store(bucket)
    source.mkdir()
    (source / "weights").write_bytes(bytes(size))
    with store.stage(source) as staged:
        (source / "weights").unlink()
        if harm == "changed":
            (source / "weights").write_bytes(b"!" * size)
        with pytest.raises(IntegrityError, match="weights was changed while it was uploaded"):
            staged.place("models/m")
    assert store.list("models") == []


def test_large_files_are_staged_whole(root: str, tmp_path: Path) -> None:
    source, store = tmp_path / "source", open_store(root)
    source.mkdir()
    content = np.random.default_rng(0).bytes(32 * CHUNK + 12_345)
    (source / "weights").write_bytes(content)
    with store.stage(source) as staged:
        staged.place("models/m")
    assert staged.digests == {"weights": hashlib.sha256(content).hexdigest()}
    assert store.download("models/m", tmp_path / "copy") == staged.digests
    assert (tmp_path / "copy" / "weights").read_bytes() == content


@pytest.mark.parametrize("name", ["../up", "/absolute", "a/../../b", "", "a\\b", "\udcff"])
def test_names_that_lead_outside_are_refused(root: str, name: str) -> None:
    with pytest.raises(StoreError, match="unsafe object name"):
        open_store(root).write(name, b"")


def test_a_bucket_that_does_not_exist_is_named(bucket: str) -> None:
    with pytest.raises(StoreError, match="gs://no-such-bucket/x.*bucket exists"):
        check_writable(open_store("gs://no-such-bucket/x"))


def test_the_oldest_client_that_is_asked_for_takes_what_downloads_give_it() -> None:
    """`single_shot_download` came with 3.2.0 of the storage client."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    wanted = [Requirement(line) for line in project["project"]["dependencies"]]
    (client,) = (one for one in wanted if one.name == "google-cloud-storage")
    assert client.specifier.contains("3.2.0")
    assert not client.specifier.contains("3.1.1")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(StoreError, match=r"expected a folder or gs://.*'s3'"):
        open_store("s3://bucket/x")


def test_a_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write .*choose a folder"):
        check_writable(open_store(str(tmp_path / "file" / "root")))


def _look(root: str) -> None:
    store = open_store(root)
    for look in (store.list, store.marks, store.written, lambda _: files_below(Path(root))):
        with pytest.raises(StoreError, match=r"cannot read .*/closed: Permission denied"):
            look("")
        with pytest.raises(StoreError, match=r"cannot read .*/closed.*: Permission denied"):
            store.list("a/closed/deeper")
    assert store.list("a/open") == ["a/open/x"]


def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for name in ("a/closed/x", "a/open/x"):
        store.write(name, b"1")
    (tmp_path / "a" / "closed").chmod(0)
    run_without_privileges(_look, str(tmp_path))


def test_links_to_files_are_listed_and_those_to_folders_or_nowhere_are_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("a/x", b"1")
    (tmp_path / "a" / "linked").symlink_to("x")
    for number, target in enumerate(("../a", "nowhere", "link-2", "x/y")):
        (tmp_path / "a" / f"link-{number}").symlink_to(target)
    assert store.list("a") == ["a/linked", "a/x"]
    assert store.list("a/x") == ["a/x"]


def test_a_killed_write_leaves_nothing_where_readers_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed right after its object appeared tidies nothing up."""
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    store = open_store(str(tmp_path))
    store.write("models/m/versions/v/MANIFEST.json", b"{}", if_generation=0)
    store.write("models/m/aliases/a.json", b"{}")
    assert store.list("") == ["models/m/aliases/a.json", "models/m/versions/v/MANIFEST.json"]
    assert [path.name for path in (tmp_path / "models/m/versions/v").iterdir()] == ["MANIFEST.json"]


def test_what_has_a_name_in_a_folder_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = set(), os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        synced.add((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", note)
    source, store = tmp_path / "source", open_store(str(tmp_path / "root"))
    (source / "below").mkdir(parents=True)
    for name in ("a", "below/b"):
        (source / name).write_bytes(b"x" * 100_000)
    store.upload(source, "uploaded")
    store.write("written", b"y")
    with store.stage(source) as staged:
        staged.place("placed")
    files = files_below(tmp_path / "root")
    assert len(files) == 5
    assert synced.issuperset((path.stat().st_ino, path.stat().st_size) for path in files)


def test_a_folder_that_is_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    """Two runs of the same thing: one cleans up while the other writes."""
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_delete_often, args=(str(tmp_path),))
    other.start()
    store = open_store(str(tmp_path))
    for number in range(300):
        store.write(f"checkpoints/k/s/{number}", b"x")
        assert all(name.startswith("checkpoints/k/") for name in store.list("checkpoints"))
    other.join()
    assert other.exitcode == 0


def _delete_often(root: str) -> None:
    for _ in range(300):
        open_store(root).delete("checkpoints/k")


def _increment(root: str, times: int) -> None:
    store = open_store(root)
    for _ in range(times):
        while True:
            content, generation = store.read_versioned("counter")
            try:
                value = int(content or b"0") + 1
                store.write("counter", str(value).encode(), if_generation=generation)
                break
            except PreconditionError:
                continue


def test_no_update_is_lost_when_processes_race(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_increment, args=(str(tmp_path), 25)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert open_store(str(tmp_path)).read("counter") == b"100"


def test_all_stores_of_a_process_share_one_client(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would ask for a token and open connections of its own."""
    made, client = [], storage.Client
    monkeypatch.setattr(storage, "Client", lambda **options: made.append(1) or client(**options))
    gcs_store._client.cache_clear()
    for name in ("a", "b"):
        open_store(f"{bucket}/{name}").write("x", name.encode())
    assert open_store(bucket).read("b/x") == b"b"
    assert len(made) == 1
