"""Answers of a model about whole files: whole, once, and only of what was asked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

import aegan
from aegan.batch.formats import NpzFormat
from aegan.batch.parts import RECORD, Parts, held
from aegan.batch.run import Request, run
from aegan.data.schema import SCHEMA_VERSION
from aegan.errors import DataError, StoreError
from tests.make_version import VERSIONS

ROWS = 700
IMAGES = np.random.default_rng(0).integers(0, 17, (ROWS, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> aegan.Model:
    return aegan.load(f"{VERSIONS}/{SCHEMA_VERSION}/models/tiny@champion")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", IMAGES)
    return tmp_path / "x.npy"


class Stop(BaseException):
    """As a signal would end it."""


def events(model: aegan.Model, request: Request, *, stop_after: int = -1) -> list[str]:
    """Run; returns what was said. Stops with the given number of parts finished."""
    said: list[str] = []

    def say(stage: str, event: str, text: str) -> None:
        said.append(f"{event} {text}")

    if stop_after < 0:
        run(model, request, say)
        return said
    count, settled = 0, Parts.add

    def add(parts: Any, number: int) -> None:
        nonlocal count
        if count == stop_after:
            raise Stop
        count += 1
        settled(parts, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "add", add)
        with pytest.raises(Stop):
            run(model, request, say)
    return said


def answers(output: Path, name: str) -> np.ndarray:
    """The answers in any kind of output: [N, ...]."""
    if output.suffix == ".npz":
        with np.load(output) as found:
            return np.asarray(
                found[{"encode": "codes", "score": "scores"}.get(name, name + "ions")]
            )
    table = pa.parquet.read_table(output)
    if name == "encode":
        columns = [table.column(f"code_{i}").to_numpy() for i in range(4)]
        return np.stack(columns, axis=1)
    if name == "score":
        return np.asarray(table.column("score").to_numpy())
    column = table.column("reconstruction").combine_chunks()
    return np.asarray(column.flatten().to_numpy()).reshape(-1, 8, 8, 1)


def expected(model: aegan.Model, name: str) -> np.ndarray:
    return np.asarray(getattr(model, name)(IMAGES))


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """But for how batches of another size are rounded."""
    if wanted.dtype.kind != "f":
        apart = np.abs(found.astype(int) - wanted.astype(int))
        return bool(apart.max() <= 1 and (apart > 0).mean() < 0.01)
    return found.dtype == wanted.dtype and bool(np.allclose(found, wanted, atol=1e-5))


@pytest.mark.parametrize("name", ["encode", "score", "reconstruct"])
@pytest.mark.parametrize("output", ["o.parquet", "o.npz", "o"])
@pytest.mark.parametrize("shard_rows", [None, 300])
def test_every_row_is_answered_in_order(
    name: str, output: str, shard_rows: int | None, model: aegan.Model, path: Path
) -> None:
    place = path.parent / output
    assert run(model, Request(name, path, place, shard_rows=shard_rows), lambda *_: None) == ROWS
    assert same(answers(place, name), expected(model, name))
    left = sorted(p.name for p in path.parent.iterdir())
    assert left == sorted({"x.npy", output})
    if place.is_dir():
        parts = [p.name for p in sorted(place.glob("part-*"))]
        assert parts == [f"part-{i:05d}.parquet" for i in range(3 if shard_rows else 1)]


def test_outputs_say_of_what_and_by_what_they_were_made(model: aegan.Model, path: Path) -> None:
    for output in ("o.parquet", "o.npz"):
        run(model, Request("score", path, path.parent / output), lambda *_: None)
    metadata = pa.parquet.read_schema(path.parent / "o.parquet").metadata
    with np.load(path.parent / "o.npz") as arrays:
        for mark, value in (
            ("model", "tiny"),
            ("model_version", model.version),
            ("model_digest", model.digest),
            ("operation", "score"),
            ("input", "x.npy"),
            ("rows", str(ROWS)),
        ):
            assert metadata[f"aegan.{mark}".encode()].decode() == value
            assert str(arrays[mark]) == value


# --- Columns


def test_the_columns_of_a_table_are_kept_and_answers_are_called_after_them(
    model: aegan.Model, tmp_path: Path
) -> None:
    columns = {f"p{i}": IMAGES.reshape(ROWS, 64)[:, i] for i in range(64)}
    names = pa.array([f"n{i}" for i in range(ROWS)]).dictionary_encode()
    table = pa.table({"name": names} | columns | {"label": pa.array([True] * ROWS)})
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    for name, added in (
        ("score", ["score"]),
        ("reconstruct", [f"reconstruction_p{i}" for i in range(64)]),
    ):
        output = tmp_path / f"{name}.parquet"
        request = Request(name, tmp_path / "x.parquet", output, shard_rows=300)
        run(model, request, lambda *_: None)
        found = pa.parquet.read_table(output)
        assert found.column_names == [*table.column_names, *added]
        assert found.select(table.column_names).equals(table)
    values = np.stack([found.column(name).to_numpy() for name in added], axis=1)
    assert same(values.reshape(-1, 8, 8, 1), expected(model, "reconstruct"))


def test_answers_do_not_take_the_name_of_a_column(model: aegan.Model, tmp_path: Path) -> None:
    columns = {f"p{i}": IMAGES.reshape(ROWS, 64)[:, i] for i in range(64)}
    table = pa.table(columns | {"score": ["high"] * ROWS})
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match="has a column named 'score' already"):
        run(model, Request("score", tmp_path / "x.parquet", tmp_path / "o.parquet"))


@pytest.mark.parametrize("output", ["o.parquet", "o.npz"])
def test_images_keep_their_files_names(output: str, model: aegan.Model, tmp_path: Path) -> None:
    folder = folder_of(IMAGES[:5], tmp_path / "images")
    run(model, Request("score", folder, tmp_path / output, shard_rows=2), lambda *_: None)
    if output.endswith("npz"):
        with np.load(tmp_path / output) as found:
            files = found["file"].tolist()
    else:
        files = pa.parquet.read_table(tmp_path / output).column("file").to_pylist()
    assert files == [f"{number}.png" for number in range(5)]
    assert same(answers(tmp_path / output, "score"), expected(model, "score")[:5])


# --- Going on


@pytest.mark.parametrize("output", ["o", "o.parquet", "o.npz"])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_an_interrupted_run_goes_on_where_it_stopped(
    output: str, done: int, model: aegan.Model, path: Path
) -> None:
    request = Request("score", path, path.parent / output, shard_rows=100)
    events(model, request, stop_after=done)
    folder = path.parent / (f"{output}.parts" if "." in output else output)
    finished = {p.name: p.stat().st_mtime_ns for p in folder.glob("part-*")}
    assert len(finished) == done
    assert folder == request.output or not request.output.exists()
    said = events(model, Request("score", path, path.parent / output))
    assert any(f"{done * 100:,} rows were done earlier" in text for text in said) == bool(done)
    assert same(answers(request.output, "score"), expected(model, "score"))
    if folder == request.output:
        for name, time in finished.items():
            assert (folder / name).stat().st_mtime_ns == time
    else:
        assert not folder.exists()


@pytest.mark.parametrize("output", ["o", "o.parquet", "o.npz"])
def test_what_is_finished_is_not_done_again(output: str, model: aegan.Model, path: Path) -> None:
    request = Request("score", path, path.parent / output)
    events(model, request)
    times = {p: p.stat().st_mtime_ns for p in path.parent.rglob("o*") if p.is_file()}
    said = events(model, request)
    assert "was finished earlier" in said[-1]
    assert not [text for text in said if text.startswith("progress")]
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_a_part_that_was_lost_or_cut_is_made_again(model: aegan.Model, path: Path) -> None:
    request = Request("score", path, path.parent / "o", shard_rows=100)
    events(model, request)
    (path.parent / "o" / "part-00002.parquet").unlink()
    cut = path.parent / "o" / "part-00005.parquet"
    cut.write_bytes(cut.read_bytes()[:-10])
    (path.parent / "o" / ".tmp-part-00001.parquet").write_bytes(b"half")
    kept = (path.parent / "o" / "part-00003.parquet").stat().st_mtime_ns
    events(model, request)
    assert same(answers(path.parent / "o", "score"), expected(model, "score"))
    assert (path.parent / "o" / "part-00003.parquet").stat().st_mtime_ns == kept
    assert not list((path.parent / "o").glob(".tmp-*"))


@pytest.mark.parametrize("output", ["o", "o.parquet", "o.npz"])
@pytest.mark.parametrize("stop_after", [-1, 2])
def test_a_changed_input_is_refused_or_begun_anew(
    output: str, stop_after: int, model: aegan.Model, path: Path
) -> None:
    place = path.parent / output
    events(model, Request("score", path, place, shard_rows=100), stop_after=stop_after)
    before = {p: p.read_bytes() for p in path.parent.rglob("o*") if p.is_file()}
    np.save(path, IMAGES[::-1])
    with pytest.raises(DataError, match=r"differs: input digest .*…, now .*…; .*--overwrite"):
        run(model, Request("score", path, place), lambda *_: None)
    assert {p: p.read_bytes() for p in before} == before
    run(model, Request("score", path, place, overwrite=True), lambda *_: None)
    assert same(answers(place, "score"), expected(model, "score")[::-1])


def test_an_input_that_was_mended_before_anything_was_made_of_it_is_taken(
    model: aegan.Model, path: Path
) -> None:
    holes = IMAGES.astype(np.float64)
    holes[0, 0, 0, 0] = np.nan
    np.save(path, holes)
    output = path.parent / "o.npz"
    with pytest.raises(DataError):
        run(model, Request("score", path, output), lambda *_: None)
    np.save(path, IMAGES)
    run(model, Request("score", path, output), lambda *_: None)
    assert same(answers(output, "score"), expected(model, "score"))


def test_another_operation_or_model_or_part_size_is_refused(model: aegan.Model, path: Path) -> None:
    output = path.parent / "o"
    run(model, Request("score", path, output, shard_rows=100), lambda *_: None)
    with pytest.raises(DataError, match="operation score, now encode"):
        run(model, Request("encode", path, output), lambda *_: None)
    with pytest.raises(DataError, match="100 rows a part, now 200"):
        run(model, Request("score", path, output, shard_rows=200), lambda *_: None)
    record = json.loads((output / RECORD).read_text())
    record["marks"] |= {"model_digest": "0" * 64, "model": "other"}
    (output / RECORD).write_text(json.dumps(record))
    with pytest.raises(DataError, match="was made with other .*model digest 000000000000…, now"):
        run(model, Request("score", path, output), lambda *_: None)


def test_what_others_wrote_is_left_alone(model: aegan.Model, path: Path) -> None:
    table, folder = path.parent / "o.parquet", path.parent / "o"
    pa.parquet.write_table(pa.table({"a": [1]}), table)
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for output, message in ((table, "did not write it"), (folder, "holds other files")):
        with pytest.raises(DataError, match=message):
            run(model, Request("score", path, output), lambda *_: None)
    with pytest.raises(DataError, match="holds other files"):
        run(model, Request("score", path, folder, overwrite=True), lambda *_: None)
    assert pa.parquet.read_table(table).to_pydict() == {"a": [1]}
    assert (folder / "thesis.txt").read_text() == "years of work"
    run(model, Request("score", path, table, overwrite=True), lambda *_: None)
    assert same(answers(table, "score"), expected(model, "score"))


def test_a_damaged_record_is_said(model: aegan.Model, path: Path) -> None:
    run(model, Request("score", path, path.parent / "o"), lambda *_: None)
    (path.parent / "o" / RECORD).write_text("{")
    with pytest.raises(DataError, match="_aegan.json is damaged"):
        run(model, Request("score", path, path.parent / "o"), lambda *_: None)


def test_two_do_not_write_one_output(model: aegan.Model, path: Path) -> None:
    with (
        held(path.parent / "o.npz.parts"),
        pytest.raises(StoreError, match="being written by another process"),
    ):
        run(model, Request("score", path, path.parent / "o.npz"), lambda *_: None)


def test_an_input_that_changes_while_it_is_read_is_noticed(model: aegan.Model, path: Path) -> None:
    def say(stage: str, event: str, text: str) -> None:
        if "rows in" in text:
            np.save(path, IMAGES[:200])

    with pytest.raises(DataError, match="was changed while it was read|ends at row"):
        run(model, Request("score", path, path.parent / "o", shard_rows=100), say)
    assert not list((path.parent / "o").glob("part-*"))


def folder_of(images: np.ndarray, folder: Path) -> Path:
    """Images as files named by their numbers."""
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("change", ["rewritten", "replaced", "touched back"])
def test_an_image_that_changes_in_place_is_noticed(
    change: str, model: aegan.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the digest was taken, and in a way that the folder itself does not show."""
    monkeypatch.setenv("AEGAN_PROGRESS_SECONDS", "0")
    folder = folder_of(IMAGES[:6], tmp_path / "images")
    (folder / "deep").mkdir()
    image = (folder / "5.png").rename(folder / "deep" / "5.png")

    def say(stage: str, event: str, text: str) -> None:
        if not text.startswith("row 1/6"):
            return
        content, status = (folder / "0.png").read_bytes(), image.stat()
        if change == "replaced":
            image.unlink()
        image.write_bytes(content.ljust(status.st_size, b"\0")[: status.st_size])
        if change == "touched back":
            os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))

    request = Request("score", folder, tmp_path / "o", shard_rows=1)
    with pytest.raises(DataError, match=r"5\.png was changed while it was read"):
        run(model, request, say)
    assert len(list((tmp_path / "o").glob("part-*"))) == 5


@pytest.mark.parametrize("output", ["o.npz", "deep/o.parquet", "o"])
def test_nothing_is_written_into_the_folder_that_is_read(
    output: str, model: aegan.Model, tmp_path: Path
) -> None:
    folder = folder_of(IMAGES[:2], tmp_path / "images")
    with pytest.raises(DataError, match="lies in the folder that is read, .*images: expected a"):
        run(model, Request("score", folder, folder / output), lambda *_: None)
    assert names(folder) == ["0.png", "1.png"]
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(DataError, match="lies in the folder that is read"):
        run(model, Request("score", folder, link / output), lambda *_: None)


# --- What is wrong


def test_a_row_that_the_model_cannot_take_is_named(model: aegan.Model, tmp_path: Path) -> None:
    images = IMAGES.astype(np.float64)
    images[333, 2, 5, 0] = np.nan
    np.save(tmp_path / "x.npy", images)
    request = Request("score", tmp_path / "x.npy", tmp_path / "o.npz", shard_rows=100)
    with pytest.raises(DataError, match=r"x.npy: row 333 holds nan: expected no NaN"):
        run(model, request, lambda *_: None)
    assert not (tmp_path / "o.npz").exists()
    columns = {f"p{i}": images.reshape(ROWS, 64)[:, i] for i in range(64)}
    pa.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    request = Request("score", tmp_path / "x.parquet", tmp_path / "p", shard_rows=100)
    with pytest.raises(DataError, match="row 333 holds nan in the column 'p21'"):
        run(model, request, lambda *_: None)
    images[333] = 0.5
    np.save(tmp_path / "x.npy", images)
    request = Request("score", tmp_path / "x.npy", tmp_path / "q", shard_rows=100)
    with pytest.raises(DataError, match=r"x.npy, rows 300 to 399: .* that uint8 cannot hold"):
        run(model, request, lambda *_: None)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("o.json", "expected a name ending in .parquet or .npz"),
        ("gs://bucket/o.npz", "expected a local file or folder"),
        ("x.npy/o.npz", "cannot write"),
        ("x.npz", "is the input, too"),
        ("folder.npz", "is a folder: expected a file"),
        ("file", "is a file: expected a folder"),
    ],
)
def test_places_that_cannot_be_written_are_refused(
    output: str, message: str, model: aegan.Model, path: Path
) -> None:
    (path.parent / "folder.npz").mkdir()
    (path.parent / "file").write_text("")
    place = Path(output) if output.startswith("gs") else path.parent / output
    if output == "x.npz":
        path = path.rename(place)
    with pytest.raises((DataError, StoreError), match=message):
        run(model, Request("score", path, place), lambda *_: None)


def test_a_full_disk_loses_nothing_that_was_done(
    model: aegan.Model, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the operating system says it; /dev/full does so for whatever is written to it."""
    request = Request("score", path, path.parent / "o.npz", shard_rows=100)
    events(model, request, stop_after=3)
    temporary = path.parent / "o.npz.parts" / ".tmp-part-00004.npy"
    opened = NpzFormat.part

    def full(self: Any, place: Path, rows: int) -> Any:
        return opened(self, Path("/dev/full") if place == temporary else place, rows)

    with monkeypatch.context() as patch:
        patch.setattr(NpzFormat, "part", full)
        with pytest.raises(StoreError, match="No space left on device; choose a folder"):
            run(model, request, lambda *_: None)
    assert len(list((path.parent / "o.npz.parts").glob("part-*"))) == 4
    run(model, request, lambda *_: None)
    assert same(answers(request.output, "score"), expected(model, "score"))


def names(folder: Path) -> Sequence[str]:
    return sorted(p.name for p in folder.iterdir())


def test_an_output_in_a_new_folder_is_made(model: aegan.Model, path: Path) -> None:
    output = path.parent / "a" / "b" / "o.npz"
    run(model, Request("score", path, output), lambda *_: None)
    assert names(output.parent) == ["o.npz"]
    shutil.rmtree(path.parent / "a")
