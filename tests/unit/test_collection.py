"""The garbage collection: what stays, what goes, and what it does to those who come in between."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import time
from pathlib import Path

import pytest
from aegan_pipelines.cli_models import models
from click.testing import CliRunner

from aegan import aliases, collection, holds
from aegan.collection import Rules
from aegan.errors import IntegrityError, RegistryError, StoreError
from aegan.registry import Registry
from aegan.store import open_store
from tests.gcs import StrictEmulator
from tests.privileges import run_without_privileges
from tests.versions import age_holds, folder, publish

DAY = datetime.timedelta(days=1)
LATER = datetime.datetime.now(datetime.UTC) + 40 * DAY
HALF = "20260101T000000Z-0123456789ab"


def _gc(root: str, keep: int = 0, **options: object) -> list[tuple[str, str]]:
    if "now" not in options:  # as if what was published before was so long ago, too
        for name in collection.names(open_store(root)):
            age_holds(root, name)
    settings = {"older_than": 30 * DAY, "now": LATER} | options
    return [(x.version, x.reason) for x in Registry(root).gc(keep=keep, **settings)]  # type: ignore[arg-type]


def test_the_newest_and_the_young_stay(root: str, tmp_path: Path) -> None:
    versions = sorted(publish(root, tmp_path, "1", "2", "3"))
    assert _gc(root, keep=3) == []
    assert _gc(root, older_than=50 * DAY) == []
    assert Registry(root).versions("m") == versions
    assert _gc(root, keep=1) == [(version, "old") for version in versions[:2]]
    assert Registry(root).versions("m") == versions[2:]
    store = open_store(root)
    assert all(versions[2] in path for path in store.list("models"))


def test_a_dry_run_tells_the_same_and_deletes_nothing(root: str, tmp_path: Path) -> None:
    publish(root, tmp_path, "1", "2", "3")
    before = open_store(root).list("")
    announced = _gc(root, keep=1, dry_run=True)
    assert len(announced) == 2
    assert open_store(root).list("") == before
    assert _gc(root, keep=1) == announced


def test_what_aliases_name_and_named_lately_stays(root: str, tmp_path: Path) -> None:
    one, two, three, four = publish(root, tmp_path, "1", "2", "3", "4")
    registry = Registry(root)
    registry.promote("m", four, "candidate", reason="x")
    for version in (one, two, three):
        registry.promote("m", version, reason="x")
    assert _gc(root, grace=41 * DAY) == []
    assert _gc(root) == [(one, "old")]  # the one before the champion is where a rollback goes
    assert set(registry.versions("m")) == {two, three, four}
    assert registry.rollback("m", reason="x").version == two


def test_models_are_looked_at_one_by_one(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    other = Registry(root).publish("other", folder(tmp_path / "other"))
    assert _gc(root, keep=1) == []
    assert _gc(root, names=["other"]) == [(other, "old")]
    assert Registry(root).versions("m") == [version]


def test_what_was_held_within_a_day_stays(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    now = datetime.datetime.now(datetime.UTC)
    assert _gc(root, older_than=0 * DAY, now=now) == []
    for dry_run in (True, False):  # holds go by the clock alone
        assert _gc(root, older_than=0 * DAY, now=LATER, dry_run=dry_run) == []
    age_holds(root)
    assert _gc(root, older_than=0 * DAY, now=now + DAY / 24) == [(version, "old")]


def test_abandoned_uploads_go_after_a_day_and_those_in_progress_stay(root: str) -> None:
    store, now = open_store(root), datetime.datetime.now(datetime.UTC)
    store.write(f"models/m/versions/{HALF}/weights", b"half an upload")
    assert _gc(root, now=now + 0.9 * DAY) == []
    assert _gc(root, now=now + 1.1 * DAY) == [(HALF, "incomplete")]
    assert store.list("models") == []


def test_what_killed_writers_left_in_a_folder_goes_after_a_day(tmp_path: Path) -> None:
    (tmp_path / ".aegan-tmp-1").mkdir()
    (tmp_path / ".aegan-tmp-1" / "weights").write_bytes(b"half a copy")
    (tmp_path / ".aegan-tmp-2").write_bytes(b"half a file")
    for days, left in ((0.9, 2), (1.1, 0)):
        for path in tmp_path.iterdir():
            os.utime(path, times=(time.time() - days * DAY.total_seconds(),) * 2)
        _gc(str(tmp_path), now=LATER)  # these, too, go by the clock alone
        assert len(list(tmp_path.iterdir())) == left


@pytest.mark.parametrize("left", ["everything", "no manifest", "nothing"])
def test_an_interrupted_collection_is_finished_by_the_next(
    root: str, tmp_path: Path, left: str
) -> None:
    version, other = publish(root, tmp_path, "1", "2")
    store = open_store(root)
    hold, generation = holds.read(store, "m", version)
    assert holds.condemn(store, "m", version, hold, generation)
    if left != "everything":
        store.delete(f"models/m/versions/{version}/MANIFEST.json")
    if left == "nothing":
        store.delete(f"models/m/versions/{version}")
    assert _gc(root, keep=5) == [(version, "condemned")]
    assert Registry(root).versions("m") == [other]
    assert not [path for path in store.list("models") if version in path]


def test_what_is_being_deleted_is_not_promoted(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    store = open_store(root)
    hold, generation = holds.read(store, "m", version)
    assert holds.condemn(store, "m", version, hold, generation)
    with pytest.raises(RegistryError, match=f"m {version} is being deleted by the garbage coll"):
        Registry(root).promote("m", version, reason="x")
    assert Registry(root).aliases("m") == {}


def test_what_is_promoted_between_the_look_and_the_deletion_stays(
    root: str, tmp_path: Path
) -> None:
    [version] = publish(root, tmp_path, "1")
    age_holds(root)
    store = open_store(root)
    rules = Rules(0, 0 * DAY, 0 * DAY, datetime.datetime.now(datetime.UTC) + 2 * DAY)
    [doomed] = collection.find_doomed(store, "m", rules)
    Registry(root).promote("m", version, reason="just in time")
    assert not collection.delete(store, doomed, rules)
    Registry(root).verify("m", version)


def test_a_hold_that_is_renewed_meanwhile_is_not_condemned(root: str, tmp_path: Path) -> None:
    [version] = publish(root, tmp_path, "1")
    age_holds(root)
    store = open_store(root)
    hold, generation = holds.read(store, "m", version)
    assert holds.renew(store, "m", version)
    assert not holds.condemn(store, "m", version, hold, generation)


def test_an_upload_that_was_cleaned_up_is_not_completed(root: str, tmp_path: Path) -> None:
    """A publisher that sleeps for days between the files and the manifest."""
    store = open_store(root)
    original = holds.renew

    def renew(*arguments: object, **options: object) -> bool:
        if options.get("begin") is False:
            age_holds(root)
            [(_version, reason)] = _gc(root)
            assert reason == "incomplete"
        return original(*arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holds, "renew", renew)
        with pytest.raises(RegistryError, match="is being deleted .* or was; .* publish it again"):
            Registry(root).publish("m", folder(tmp_path / "source"))
    assert store.list("models") == []


def test_the_same_contents_under_other_paths_are_another_version(root: str, tmp_path: Path) -> None:
    """The root digest does not know paths: in one second, both would have the same name."""
    registry = Registry(root)
    found = {}
    for path in ("a", "b", "c"):
        (tmp_path / path).mkdir()
        (tmp_path / path / path).write_bytes(b"the same")
        found[registry.publish("m", tmp_path / path)] = path
    assert len(found) == 3
    for version, path in found.items():
        assert registry.verify("m", version).files.keys() == {path}


@pytest.mark.parametrize("name", ["a\\b", "folder/", "a//b"])
def test_an_object_with_a_name_that_no_reader_takes_goes_with_its_version(
    bucket: str, emulator: StrictEmulator, tmp_path: Path, name: str
) -> None:
    first, second = sorted(publish(bucket, tmp_path, "1", "2"))
    place = f"{bucket.split('/', 3)[3]}/models/m/versions/{first}"
    emulator.list_as(f"{place}/weights", f"{place}/{name}")
    emulator.list_as(f"{place}/weights", f"{place}-beside/{name}")
    assert _gc(bucket) == [(first, "old"), (second, "old")]
    assert emulator.keys(place) == [f"{place}-beside/{name}"]


def test_a_file_with_a_name_that_no_reader_takes_goes_with_its_version(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    versions = publish(root, tmp_path, "1", "2")
    Path(Registry(root).uri("m", versions[0]), "a\\b").write_bytes(b"x")
    assert {version for version, _ in _gc(root)} == set(versions)
    assert open_store(root).list("models/m/versions") == []


def test_a_version_that_cannot_be_deleted_keeps_none_of_the_others(
    root: str, tmp_path: Path
) -> None:
    versions = sorted(publish(root, tmp_path, "1", "2", "3"))
    original = holds.condemn

    def condemn(store: object, name: str, version: str, *others: object) -> bool:
        if version == versions[0]:
            raise StoreError("a retention policy keeps it")
        return original(store, name, version, *others)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holds, "condemn", condemn)
        message = rf"2 versions were deleted, and 1 could not be:\n  m {versions[0]}: a retention"
        with pytest.raises(RegistryError, match=message):
            _gc(root)
    assert Registry(root).versions("m") == versions[:1]


def test_a_damaged_alias_keeps_its_model_and_no_other(root: str, tmp_path: Path) -> None:
    publish(root, tmp_path, "1")
    for name in ("a", "z"):
        Registry(root).publish(name, folder(tmp_path / name))
    open_store(root).write("models/m/aliases/champion.json", b"{")
    told = r"2 versions {} deleted, and 1 could not be:\n  m: .* is not a valid alias"
    with pytest.raises(RegistryError, match=told.format("would be")):
        _gc(root, dry_run=True)
    assert Registry(root).names() == ["a", "m", "z"]
    with pytest.raises(RegistryError, match=told.format("were")):
        _gc(root)
    assert Registry(root).names() == ["m"]


def test_a_damaged_alias_is_mended_as_its_message_says(root: str, tmp_path: Path) -> None:
    registry, store = Registry(root), open_store(root)
    first, second = publish(root, tmp_path, "1", "2")
    registry.promote("m", first, reason="one")
    store.write("models/m/aliases/champion.json", b"{")
    with pytest.raises(IntegrityError) as caught:
        registry.promote("m", second, reason="two")
    told = re.search(
        r"([^ ]+) is not a valid alias .* delete this file, .* anew: aegan models (.+)$",
        str(caught.value),
    )
    assert told is not None
    store.delete(told[1].removeprefix(f"{root}/"))
    command = shlex.split(told[2].replace("VERSION", second).replace("TEXT", "mended"))
    done = CliRunner().invoke(models, command)
    assert done.exit_code == 0, done.output
    assert registry.aliases("m")["champion"].reason == "mended"
    assert _gc(root) == [(first, "old")]


def _collect_unreadable(root: str) -> None:
    for look in (lambda: _gc(root), lambda: _gc(root, names=["m"]), Registry(root).names):
        with pytest.raises(StoreError, match=r"cannot read .*/aliases: Permission denied"):
            look()


def test_aliases_that_cannot_be_read_stop_the_collection(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    [version] = publish(root, tmp_path, "1")
    Registry(root).promote("m", version, reason="x")
    age_holds(root)
    folder = Path(root, "models", "m", "aliases")
    folder.chmod(0)
    run_without_privileges(_collect_unreadable, root)
    folder.chmod(0o755)
    Registry(root).verify("m", version)


def test_a_history_that_does_not_reach_back_stops_the_collection(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "HISTORY", 2)
    first, second = publish(root, tmp_path, "1", "2")
    for number in range(4):
        Registry(root).promote("m", (first, second)[number % 2], reason="x")
    with pytest.raises(RegistryError, match="moved more than 2 times within the grace period"):
        _gc(root, grace=41 * DAY)
    assert _gc(root) == []


@pytest.mark.parametrize(("keep", "older_than"), [(-1, DAY), (0, -DAY)])
def test_rules_below_zero_are_refused(root: str, keep: int, older_than: datetime.timedelta) -> None:
    with pytest.raises(RegistryError, match="expected nothing below 0"):
        _gc(root, keep=keep, older_than=older_than)


def test_a_model_that_is_not_there_is_named(root: str, tmp_path: Path) -> None:
    publish(root, tmp_path, "1")
    with pytest.raises(RegistryError, match="no model 'n' in .*: expected m"):
        _gc(root, names=["m", "n"])
