"""Files are read row by row in any blocks, and what is wrong with one is said with file and row."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

from aegan.batch.source import Source, open_source
from aegan.errors import DataError, DependencyError

ROWS, SHAPE = 50, (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 17, (ROWS, *SHAPE)).astype(np.uint8)
FLAT = IMAGES.reshape(ROWS, -1)
PIXELS = [f"p{i}" for i in range(64)]


def table(**more: Any) -> pa.Table:
    pixels = {name: FLAT[:, i] for i, name in enumerate(PIXELS)}
    return pa.table({"name": [f"row {i}" for i in range(ROWS)]} | pixels | more)


def opened(
    path: Path, *columns: str, shape: tuple[int, ...] = SHAPE, dtype: str = "uint8"
) -> Source:
    return open_source(path, shape, np.dtype(dtype), columns)


def read(source: Source, first: int, *sizes: int) -> np.ndarray:
    blocks = list(source.blocks(first, sizes))
    assert [len(block.examples) for block in blocks] == list(sizes)
    assert [block.first for block in blocks] == [first + sum(sizes[:i]) for i in range(len(sizes))]
    return np.concatenate([block.examples for block in blocks])


def write(folder: Path, kind: str) -> Path:
    """The images as a file of this kind."""
    path = folder / f"x.{kind.split()[0]}"
    if kind == "npy":
        np.save(path, IMAGES)
    elif kind == "npy transposed":
        np.save(path, np.asfortranarray(IMAGES[..., 0]))
    elif kind == "npy >f4":
        np.save(path, IMAGES.astype(">f4"))
    elif kind == "npz":
        np.savez(path, x=IMAGES, y=np.arange(ROWS))
    elif kind == "npz compressed":
        np.savez_compressed(path, anything=IMAGES[..., 0])
    elif kind == "csv":
        pa.csv.write_csv(table(), path)
    elif kind == "parquet":
        pa.parquet.write_table(table(), path, row_group_size=7)
    elif kind == "parquet of lists":
        lists = pa.FixedSizeListArray.from_arrays(pa.array(FLAT.reshape(-1)), 64)
        pa.parquet.write_table(pa.table({"pixels": lists}), path)
    else:
        for number, image in enumerate(IMAGES):
            target = path / f"{number % 3}" / f"{number:03}.PNG"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(target)
        (path / "notes.txt").write_text("no image")
    return path


KINDS = ("npy", "npy transposed", "npy >f4", "npz", "npz compressed", "csv", "parquet")


@pytest.mark.parametrize("kind", [*KINDS, "parquet of lists", "folder"])
def test_any_rows_can_be_read_in_any_blocks(kind: str, tmp_path: Path) -> None:
    source = opened(write(tmp_path, kind))
    assert source.rows == ROWS
    order = np.arange(ROWS)
    if kind == "folder":
        order = np.array([int(name[2:5]) for name in source.files])
    for first, sizes in ((0, (ROWS,)), (0, (20, 20, 10)), (13, (1, 6, 30)), (49, (1,))):
        found = read(source, first, *sizes)
        assert np.array_equal(found.reshape(-1, *SHAPE), IMAGES[order][first : first + sum(sizes)])


@pytest.mark.parametrize("kind", [*KINDS, "folder"])
def test_the_digest_tells_contents_apart(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind)
    before = opened(path).digest()
    assert opened(path).digest() == before
    if path.is_dir():
        next(path.rglob("*.PNG")).rename(path / "other.png")
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"#")
        if kind not in ("npy", "npy transposed", "npy >f4"):
            return  # damaged now; what it was opened as has another digest all the same
    assert opened(path).digest() != before


# --- Tables


def test_the_columns_of_a_table_are_kept_as_they_are(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        source = opened(write(tmp_path, kind))
        (block,) = source.blocks(3, [10])
        assert block.table.column_names == ["name", *PIXELS]
        assert block.table.column("name").to_pylist() == [f"row {i}" for i in range(3, 13)]
        assert block.table.schema.equals(source.schema)


def test_examples_in_a_csv_file_have_the_type_that_all_their_values_fit(tmp_path: Path) -> None:
    """Also where the first megabyte looks like another one."""
    rows = 200_000
    path = tmp_path / "x.csv"
    lines = [f"{i},{i},{i},NA,7\n" for i in range(rows)]
    lines[-1] = "0.5,x,1,,7\n"
    path.write_text("float,text,whole,empty,id\n" + "".join(lines))
    source = opened(path, "float", "whole", shape=(2,), dtype="float32")
    types = dict(zip(source.schema.names, map(str, source.schema.types), strict=True))
    texts = dict.fromkeys(("text", "empty", "id"), "string")
    assert types == texts | {"float": "double", "whole": "int64"}
    (last,) = source.blocks(rows - 2, [2])
    assert last.examples.tolist() == [[rows - 2, rows - 2], [0.5, 1]]
    assert last.table.column("empty").to_pylist() == ["NA", ""]


def test_what_is_no_example_in_a_csv_file_stays_as_it_was_written(tmp_path: Path) -> None:
    """Leading zeros, all digits of long numbers, and how a number was written."""
    path = tmp_path / "x.csv"
    kept = {
        "zip": ["01234", "00501"],
        "account": ["12345678901234567890", "12345678901234567891"],
        "price": ["1.50", "1e3"],
        "blank": ["", " 7"],
    }
    lines = [f'"{kept["zip"][0]}",{kept["account"][0]},3,1.50,\n']
    lines += [f"{kept['zip'][1]},{kept['account'][1]},4,1e3, 7\n"]
    path.write_text("zip,account,x,price,blank\n" + "".join(lines))
    (block,) = opened(path, "x", shape=(1,)).blocks(0, [2])
    assert block.table.drop_columns(["x"]).to_pydict() == kept
    assert block.examples.tolist() == [[3], [4]]


def test_texts_of_a_csv_file_may_hold_commas_quotes_and_line_feeds(tmp_path: Path) -> None:
    path, text = tmp_path / "x.csv", 'a, "b"\nc'
    pa.csv.write_csv(pa.table({"text": [text] * 9, "number": range(9)}), path)
    (block,) = opened(path, shape=(1,)).blocks(4, [5])
    assert block.table.column("text").to_pylist() == [text] * 5
    assert block.examples.tolist() == [[4], [5], [6], [7], [8]]


def test_columns_are_chosen_by_name_in_any_order_or_by_range(tmp_path: Path) -> None:
    path = write(tmp_path, "parquet")
    assert read(opened(path, "p3", "p1", shape=(2,)), 0, 5).tolist() == FLAT[:5, [3, 1]].tolist()
    assert read(opened(path, "p2:p5", shape=(4,)), 0, 5).tolist() == FLAT[:5, 2:6].tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            (),
            r"64 numbers in a row \(p0, p1, .*…\), this model takes 3; say which columns by --columns",
        ),
        (("p1", "p2", "no"), "no column named 'no'; expected some of name, p0"),
        (("name", "p1", "p2"), "the column 'name' is string: expected numbers"),
        (("p1:p9",), "9 numbers in a row"),
        (("p9:p1",), "--columns p9:p1: 'p1' stands before 'p9'; expected .*, p1:p9"),
        (("p1", "p2", "p1"), "--columns names p1 more than once"),
        (("p1:p2", "p2"), "--columns names p2 more than once: expected each column once"),
    ],
)
def test_columns_that_make_no_example_are_refused(
    columns: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        opened(write(tmp_path, "parquet"), *columns, shape=(3,))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_missing_value_is_named_by_row_and_column(kind: str, tmp_path: Path) -> None:
    values = pa.array([None if i == 33 else i for i in range(ROWS)])
    found = table().set_column(3, "p2", values)
    path = tmp_path / f"x.{kind}"
    (pa.csv.write_csv if kind == "csv" else pa.parquet.write_table)(found, path)
    blocks = opened(path).blocks(0, [20, 20, 10])
    next(blocks)
    with pytest.raises(DataError, match="x.*: row 33 has no value in the column 'p2'"):
        next(blocks)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows: expected a line of names"),
        ("a,b\n", "holds no rows"),
        ("a,b\n1,2\n3\n", r"not a readable CSV file \(.*Row #3: Expected 2 columns, got 1"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("\xff,b\n1,2\n", "not a readable CSV file"),
        ("a,b\n1,\xff\n", "this model takes|not a readable CSV file"),
    ],
)
def test_csv_files_that_are_none_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, "latin1")
    with pytest.raises(DataError, match=message):
        opened(path, shape=(2,))


def test_damaged_parquet_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "parquet")
    content = path.read_bytes()
    for damaged in (b"", content[:-9], content[:100]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a readable Parquet file"):
            opened(path)
    path.write_bytes(content[:100] + bytes(3000) + content[3100:])
    with pytest.raises(DataError, match="damaged at row"):
        list(opened(path).blocks(0, [ROWS]))


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    pa.parquet.write_table(table().slice(0, 0), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        opened(tmp_path / "x.parquet")


def test_tables_need_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "csv")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"pip install 'aegan\[batch\]'"):
        opened(path)
    assert opened(write(tmp_path, "npy")).rows == ROWS


# --- Arrays


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGES[:, :7], r"has the shape \[50, 7, 8, 1\]: this model takes \[N, 8, 8, 1\]"),
        (IMAGES[0, 0, 0, 0], r"has the shape \[\]"),
        (IMAGES[:0], "holds no rows"),
        (np.full((2, *SHAPE), "x"), "holds <U1: expected integers or floats"),
        (np.full((2, *SHAPE), None), "holds object: expected .*nothing pickled"),
        (np.zeros((2, *SHAPE), np.complex64), "holds complex64"),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_of_another_kind_are_refused(
    array: np.ndarray, message: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, x=array)
    with pytest.raises(DataError, match=message):
        opened(path)


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_files_that_are_no_arrays_are_refused(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable"):
        opened(path)


def test_truncated_and_padded_arrays_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "npy")
    content = path.read_bytes()
    for other in (content[:-1], content + b"x"):
        path.write_bytes(other)
        with pytest.raises(DataError, match="announces .* truncated or padded"):
            opened(path)


def test_an_npz_whose_header_lies_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """As of a zip bomb: rows that are announced and not there, or there and not announced."""
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    for content in (buffer.getvalue()[:-64], buffer.getvalue() + bytes(10**6)):
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(DataError, match="announces .* truncated or padded"):
            opened(tmp_path / "x.npz")


def test_damage_within_an_npz_is_noticed_at_the_latest_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 99, (5000, *SHAPE), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="x.npz: x: damaged at row"):
        list(opened(path).blocks(0, [1000] * 5))


def test_the_array_of_an_npz_is_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, first=IMAGES, second=IMAGES[::-1])
    assert np.array_equal(read(opened(path, "second"), 0, ROWS), IMAGES[::-1])
    with pytest.raises(DataError, match="it holds first, second; say which by --columns NAME"):
        opened(path)
    with pytest.raises(DataError, match="no array named third"):
        opened(path, "third")
    with pytest.raises(DataError, match="expected the name of one array"):
        opened(path, "first", "second")


def test_a_transposed_array_is_not_read_from_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.asfortranarray(IMAGES))
    with pytest.raises(DataError, match="stored column by column"):
        opened(tmp_path / "x.npz")


# --- Images


def save(folder: Path, name: str, image: Image.Image) -> Path:
    folder.mkdir(exist_ok=True)
    image.save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("L", (9, 8)), r"b.png \(row 1\): 9 x 8 pixels, this model takes 8 x 8"),
        (Image.new("RGB", (8, 8)), r"b.png \(row 1\): an image of the mode RGB, .* 1 channels"),
        (Image.fromarray(np.full((8, 8), 300, np.uint16)), "mode I;16"),
    ],
)
def test_images_of_another_kind_are_named(image: Image.Image, message: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "images", "a.png", Image.new("L", (8, 8)))
    save(folder, "b.png", image)
    with pytest.raises(DataError, match=message):
        list(opened(folder).blocks(0, [2]))


def test_an_image_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "images", "a.png", Image.new("L", (8, 8)))
    (folder / "a.png").rename(folder / os.fsdecode(b"bad\xff.png"))
    with pytest.raises(DataError, match=r"'bad\\udcff.png' is not a name in UTF-8"):
        opened(folder)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "images", "a.png", Image.new("L", (8, 8)))
    content = (folder / "a.png").read_bytes()
    for damaged in (b"", b"no image", content[:40], content[:-30]):
        (folder / "b.jpg").write_bytes(damaged)
        with pytest.raises(DataError, match=r"b.jpg \(row 1\): not a readable image"):
            list(opened(folder).blocks(0, [2]))


@contextlib.contextmanager
def of_nobody() -> Iterator[None]:
    """With the rights of a user to whom nothing belongs; root may read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("forbidden", ["deep/b.png", "deep", ""])
def test_an_image_or_a_folder_that_may_not_be_read_is_named(forbidden: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        folder = Path(place)
        folder.chmod(0o755)
        for name in ("a.png", "deep/b.png"):
            save((folder / name).parent, Path(name).name, Image.new("L", (8, 8)))
        (folder / forbidden).chmod(0)
        named = rf"cannot read {folder / forbidden}/?\w*: Permission denied; get the right to read"
        with of_nobody(), pytest.raises(DataError, match=named):
            opened(folder).digest()
        (folder / forbidden).chmod(0o755)


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "parquet", "png"])
def test_a_file_that_the_system_does_not_give_is_named(kind: str, tmp_path: Path) -> None:
    """As /proc/self/mem does: it can be opened, and reading it fails."""
    path = tmp_path / f"x.{kind}"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=rf"x\.{kind}: (Input/output error|not a readable)"):
        opened(tmp_path if kind == "png" else path).digest()


def test_colours_palettes_and_deep_greys_are_read(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    folder = save(tmp_path / "rgb", "a.png", Image.fromarray(colours))
    palette = Image.fromarray((colours // 128) * 255).convert("P", palette=Image.Palette.ADAPTIVE)
    save(folder, "b.png", palette)
    first, second = read(opened(folder, shape=(8, 8, 3)), 0, 2)
    assert np.array_equal(first, colours)
    assert np.array_equal(second, (colours // 128) * 255)
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    folder = save(tmp_path / "deep", "a.png", Image.fromarray(deep))
    assert np.array_equal(read(opened(folder, dtype="uint16"), 0, 1)[0, ..., 0], deep)


def test_a_folder_of_images_is_no_input_for_a_model_of_something_else(tmp_path: Path) -> None:
    folder = save(tmp_path / "images", "a.png", Image.new("L", (8, 8)))
    for shape, dtype in (((8, 8, 1), "float32"), ((64,), "uint8"), ((8, 8, 7), "uint8")):
        with pytest.raises(DataError, match="give an .npy file in its units"):
            opened(folder, shape=shape, dtype=dtype)


# --- Paths


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("nothing.npy", (), "no file or folder at .*nothing.npy"),
        ("x.txt", (), "cannot tell the format"),
        ("empty", (), "no images there"),
        ("x.npy", ("a",), "has no columns to choose from"),
        ("gs://bucket/x.npy", (), "expected a local file or folder"),
    ],
)
def test_paths_that_lead_to_no_examples_are_refused(
    name: str, columns: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    write(tmp_path, "npy")
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        opened(Path(name) if name.startswith("gs") else tmp_path / name, *columns)
