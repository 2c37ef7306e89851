"""Every format is read as it was written, and every bad input is named with what to do about it."""

from __future__ import annotations

import gzip
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan.config import Data
from aegan.data.idx import read_idx
from aegan.data.sources import RawData, read_source
from aegan.errors import DataError
from aegan.store import open_store
from tests.privileges import run_without_privileges

Array = np.ndarray[Any, Any]

IMAGES = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)
# Type codes of the format's description, http://yann.lecun.com/exdb/mnist.
IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def _idx(array: Array) -> bytes:
    """An IDX file: magic number, sizes, values, all big-endian."""
    code = IDX_CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return (
        bytes([0, 0, code, array.ndim]) + sizes + array.astype(f">{array.dtype.str[1:]}").tobytes()
    )


def _read(source: object, **settings: Any) -> RawData:
    # No test but those with a bucket needs a scratch folder.
    return read_source(Data(source=str(source), **settings), Path("/nonexistent"))


def _save(path: Path, array: Array) -> Path:
    np.save(path, array, allow_pickle=True)
    return path


def _mnist(folder: Path, *, test: str | None = None, compress: bool = False) -> Path:
    """A folder laid out like MNIST; test images are the training images reversed."""
    parts = {"train-images-idx3-ubyte": IMAGES, "train-labels-idx1-ubyte": LABELS}
    if test is not None:
        parts[f"{test}-images-idx3-ubyte"] = IMAGES[::-1]
        parts[f"{test}-labels-idx1-ubyte"] = LABELS[::-1]
    folder.mkdir()
    for name, array in parts.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(_idx(array)))
        else:
            (folder / name).write_bytes(_idx(array))
    return folder


@pytest.mark.parametrize("kind", IDX_CODES)
@pytest.mark.parametrize("compress", [False, True])
def test_idx_values_of_every_type_are_read(tmp_path: Path, kind: str, compress: bool) -> None:
    limits = np.iinfo(kind) if kind[0] in "ui" else np.finfo(kind)
    values = np.array([[limits.min, 1, limits.max]], kind)
    content = _idx(values)
    path = tmp_path / "values"
    path.write_bytes(gzip.compress(content) if compress else content)
    found = read_idx(path)
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images.idx3-ubyte.gz", "some-ubyte"])
def test_one_idx_file_is_examples_without_labels(tmp_path: Path, name: str) -> None:
    content = _idx(IMAGES)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    raw = _read(tmp_path / name)
    np.testing.assert_array_equal(raw.examples, IMAGES[..., np.newaxis])
    assert raw.labels is raw.test_examples is raw.test_labels is None
    assert list(raw.files) == [name]


@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize("compress", [False, True])
def test_a_folder_of_idx_files_has_a_test_set_of_its_own(
    tmp_path: Path, test: str, compress: bool
) -> None:
    raw = _read(_mnist(tmp_path / "mnist", test=test, compress=compress))
    assert raw.test_examples is not None
    np.testing.assert_array_equal(raw.examples[..., 0], IMAGES)
    np.testing.assert_array_equal(raw.labels, LABELS)
    np.testing.assert_array_equal(raw.test_examples[..., 0], IMAGES[::-1])
    np.testing.assert_array_equal(raw.test_labels, LABELS[::-1])
    assert len(raw.files) == 4


def test_a_folder_without_a_test_set_has_none(tmp_path: Path) -> None:
    raw = _read(_mnist(tmp_path / "mnist"))
    assert raw.test_examples is raw.test_labels is None
    np.testing.assert_array_equal(raw.labels, LABELS)


def test_a_folder_without_labels_has_none(tmp_path: Path) -> None:
    folder = _mnist(tmp_path / "mnist")
    (folder / "train-labels-idx1-ubyte").unlink()
    assert _read(folder).labels is None


@pytest.mark.parametrize("dtype", ["uint8", "int64", ">i4", "float32", "float16"])
def test_npy_files_keep_values_and_type(tmp_path: Path, dtype: str) -> None:
    raw = _read(_save(tmp_path / "x.npy", IMAGES.astype(dtype)))
    assert raw.examples.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(raw.examples[..., 0], IMAGES)
    assert raw.labels is None


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("examples", "labels"),
    [("x", "y"), ("images", "labels"), ("data", "targets"), ("features", "y")],
)
def test_npz_files_hold_examples_and_labels(
    tmp_path: Path, save: Any, examples: str, labels: str
) -> None:
    save(tmp_path / "d.npz", **{examples: IMAGES, labels: LABELS})
    raw = _read(tmp_path / "d.npz")
    np.testing.assert_array_equal(raw.examples[..., 0], IMAGES)
    np.testing.assert_array_equal(raw.labels, LABELS)
    assert raw.test_examples is None


def test_npz_files_may_hold_a_test_set(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "d.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2]
    )
    raw = _read(tmp_path / "d.npz")
    assert raw.test_examples is not None
    np.testing.assert_array_equal(raw.examples[..., 0], IMAGES)
    np.testing.assert_array_equal(raw.labels, LABELS)
    np.testing.assert_array_equal(raw.test_examples[..., 0], IMAGES[:2])
    np.testing.assert_array_equal(raw.test_labels, LABELS[:2])


def test_the_ending_tells_the_format_before_the_name_does(tmp_path: Path) -> None:
    raw = _read(_save(tmp_path / "train-idx.npy", IMAGES))
    np.testing.assert_array_equal(raw.examples[..., 0], IMAGES)


def test_the_format_can_be_set_where_the_name_does_not_tell_it(tmp_path: Path) -> None:
    _save(tmp_path / "x.npy", IMAGES).rename(tmp_path / "blob")
    with pytest.raises(DataError, match=r"cannot tell the format.*set data\.format otherwise"):
        _read(tmp_path / "blob")
    np.testing.assert_array_equal(_read(tmp_path / "blob", format="npy").examples[..., 0], IMAGES)


def test_the_digits_are_those_of_scikit_learn() -> None:
    raw = _read("digits")
    assert raw.labels is not None
    # As its documentation describes them: 1797 images of 8x8 with 16 shades above 0, 10 classes.
    assert (raw.examples.shape, raw.examples.dtype) == ((1797, 8, 8, 1), np.uint8)
    assert (raw.examples.min(), raw.examples.max()) == (0, 16)
    assert np.unique(raw.labels).tolist() == list(range(10))
    assert raw.test_examples is None


@pytest.mark.parametrize(
    ("kind", "shape", "found"),
    [
        ("image", (5, 3, 4), (5, 3, 4, 1)),
        ("image", (5, 3, 4, 3), (5, 3, 4, 3)),
        ("tabular", (5, 7), (5, 7)),
        ("sequence", (5, 6, 2), (5, 6, 2)),
    ],
)
def test_each_kind_has_its_shape(
    tmp_path: Path, kind: Any, shape: tuple[int, ...], found: tuple[int, ...]
) -> None:
    assert _read(_save(tmp_path / "x.npy", np.zeros(shape)), kind=kind).examples.shape == found


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("image", (5, 3), r"\[5, 3\]: data.kind 'image' expects \[N, ...\] with \[H, W\] or"),
        ("image", (5, 1, 2, 3, 4), "data.kind 'image' expects"),
        ("image", (0, 3, 4), r"have the shape \[0, 3, 4\]"),
        ("image", (5, 3, 0), r"have the shape \[5, 3, 0\]"),
        ("image", (), r"have the shape \[\]"),
        ("tabular", (5, 3, 4), r"data.kind 'tabular' expects \[N, ...\] with \[D\] for one"),
        ("sequence", (5, 3), r"data.kind 'sequence' expects \[N, ...\] with \[T, C\] for one"),
    ],
)
def test_a_shape_of_another_kind_is_refused(
    tmp_path: Path, kind: Any, shape: tuple[int, ...], expected: str
) -> None:
    path = _save(tmp_path / "x.npy", np.zeros(shape))
    with pytest.raises(DataError, match=f"{expected}.*reshape them or set data.kind"):
        _read(path, kind=kind)


def test_the_digest_follows_the_files_and_not_the_folder(tmp_path: Path) -> None:
    here = _mnist(tmp_path / "here", test="t10k")
    there = shutil.copytree(here, tmp_path / "there")
    assert _read(here).digest() == _read(there).digest()
    (there / "t10k-labels-idx1-ubyte").write_bytes(_idx(LABELS))
    assert _read(here).digest() != _read(there).digest()


def test_a_file_is_read_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    path = _save(tmp_path / "x.npy", IMAGES)
    open_store(bucket).write("data/x.npy", path.read_bytes())
    raw = read_source(Data(source=f"{bucket}/data/x.npy"), tmp_path / "scratch")
    np.testing.assert_array_equal(raw.examples[..., 0], IMAGES)
    assert raw.digest() == _read(path).digest()


def test_a_folder_is_read_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    folder = _mnist(tmp_path / "mnist", test="t10k", compress=True)
    for path in folder.iterdir():
        open_store(bucket).write(f"data/mnist/{path.name}", path.read_bytes())
    for source in (f"{bucket}/data/mnist", f"{bucket}/data/mnist/"):
        raw = read_source(Data(source=source), tmp_path / "scratch")
        np.testing.assert_array_equal(raw.test_labels, LABELS[::-1])
        assert raw.digest() == _read(folder).digest()


def test_an_object_that_is_not_there_is_named(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no data at {bucket}/x.npy .*give an existing file"):
        read_source(Data(source=f"{bucket}/x.npy"), tmp_path)


@pytest.mark.parametrize("source", ["gs://bucket", "gs://bucket/"])
def test_a_whole_bucket_is_refused(source: str) -> None:
    with pytest.raises(DataError, match=r"names a whole bucket; .*: gs://bucket/path"):
        _read(source)


def test_a_missing_file_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no data at {tmp_path}/x.npy .*--set data.source=PATH"):
        _read(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.csv", "x.txt", "noending"])
def test_a_file_of_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"cannot tell the format; expected .*\.npy, \.npz, -ubyte"):
        _read(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no training images: .*train-images-idx3-ubyte.* \[\]"):
        _read(tmp_path)


def test_a_folder_without_training_images_lists_what_is_there(tmp_path: Path) -> None:
    folder = _mnist(tmp_path / "mnist")
    (folder / "train-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"no training images.*\['train-labels-idx1-ubyte'\]"):
        _read(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: .*two zero bytes and a type code, received nothing"),
        (b"<htm", "not an IDX file: .* received 3c 68 74 6d"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file: .* received 00 00 07 01"),
        (b"\0\0\x08\x03\0\0\0\x05", "truncated IDX header; fetch the file again"),
        (
            _idx(IMAGES)[:-1],
            r"truncated or padded IDX file: .* \[5, 3, 4\] = 60 bytes, received 59; fetch it again",
        ),
        (
            _idx(IMAGES) + b"\0",
            r"truncated or padded IDX file: .* \[5, 3, 4\] = 60 bytes, received 61; fetch it again",
        ),
        (_idx(IMAGES.astype("f8"))[:-8], r"truncated .* \[5, 3, 4\] = 480 bytes, received 472"),
        (gzip.compress(_idx(IMAGES))[:-9], "damaged gzip file .*; fetch it again"),
        (gzip.compress(_idx(IMAGES)) + b"tail", "damaged gzip file .*; fetch it again"),
        (gzip.compress(_idx(IMAGES)[:-1]), "truncated or padded IDX file"),
    ],
    ids=[
        "empty",
        "a web page",
        "unknown type",
        "truncated header",
        "truncated",
        "padded",
        "truncated doubles",
        "truncated gzip",
        "padded gzip",
        "truncated inside gzip",
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: {message}"):
        _read(path)


@pytest.mark.parametrize("name", ["x-ubyte", "x-ubyte.gz", "x.npy", "x.npz"])
def test_no_damage_gets_past_as_another_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "x.npz":
        np.savez_compressed(path, x=IMAGES, y=LABELS)
    elif name == "x.npy":
        np.save(path, IMAGES)
    else:
        content = _idx(IMAGES)
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    whole = path.read_bytes()
    _read(path)

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            _read(path)
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0xFF
        path.write_bytes(changed)
        try:
            _read(path)  # a changed pixel cannot be told from another pixel
        except DataError:
            continue


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more", b"\x80\x04."])
def test_what_numpy_did_not_write_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        DataError, match=f"{name}: not a readable NumPy file: .*write it again with"
    ):
        _read(tmp_path / name)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], object)
    for path in (_save(tmp_path / "x.npy", objects), tmp_path / "x.npz"):
        if path.suffix == ".npz":
            np.savez(path, x=objects)
        with pytest.raises(DataError, match=r"allow_pickle=False; .*, without Python objects"):
            _read(path)


def test_an_npz_without_examples_lists_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", inputs=IMAGES, y=LABELS)
    with pytest.raises(DataError, match=r"an array named x .*received \['inputs', 'y'\]"):
        _read(tmp_path / "d.npz")


def test_a_member_of_an_npz_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x", "1,2,3")
    with pytest.raises(DataError, match=r"examples have the type .S5: expected integers or floats"):
        _read(tmp_path / "d.npz")


@pytest.mark.parametrize(
    "array",
    [
        np.array([["a", "b"]]),
        np.zeros((2, 2), np.longdouble),
        np.array([[True, False]]),
        np.array([[1j]]),
        np.array([["2026-01-01"]], "datetime64[D]"),
        np.zeros((2, 2), [("a", "f4")]),
    ],
    ids=lambda array: array.dtype.name,
)
def test_a_type_that_is_no_number_is_refused(tmp_path: Path, array: Array) -> None:
    path = _save(tmp_path / "x.npy", array)
    with pytest.raises(
        DataError, match=r"type .*: expected integers or floats of at most 64 bits;"
    ):
        _read(path, kind="tabular")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e39])
def test_a_row_that_float32_cannot_hold_is_named(tmp_path: Path, value: float) -> None:
    table = np.ones((9, 4))
    table[[6, 8], [1, 3]] = value
    path = _save(tmp_path / "x.npy", table)
    with pytest.raises(
        DataError, match=r"2 of 9 rows hold NaN, .* the first is row 6; drop or fill"
    ):
        _read(path, kind="tabular")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_large_finite_values_are_accepted(tmp_path: Path, dtype: str) -> None:
    largest = min(float(np.finfo(dtype).max), 1e37)
    path = _save(tmp_path / "x.npy", np.array([[largest, -largest]], dtype))
    np.testing.assert_array_equal(_read(path, kind="tabular").examples, np.load(path))


def test_a_bad_row_of_the_test_set_is_named_as_such(tmp_path: Path) -> None:
    test = IMAGES.astype("f4")
    test[2, 0, 0] = np.nan
    np.savez(tmp_path / "d.npz", x_train=IMAGES.astype("f4"), x_test=test)
    with pytest.raises(DataError, match=r"test examples: 1 of 5 rows hold NaN.* row 2"):
        _read(tmp_path / "d.npz")


@pytest.mark.parametrize(
    "labels",
    [
        LABELS[:-1],
        LABELS[:, np.newaxis],
        LABELS.astype(np.float32),
        LABELS.astype(str),
        LABELS > 2,
        np.uint8(3),
    ],
    ids=["too few", "two axes", "floats", "strings", "booleans", "scalar"],
)
def test_labels_must_be_one_integer_for_each_example(tmp_path: Path, labels: Array) -> None:
    np.savez(tmp_path / "d.npz", x=IMAGES, y=labels)
    with pytest.raises(DataError, match=r"labels are .*: expected integers \[5\], one for each ex"):
        _read(tmp_path / "d.npz")


def test_labels_of_the_test_set_are_checked_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS[:2])
    with pytest.raises(
        DataError, match=r"test examples: labels are uint8 \[2\]: expected integers"
    ):
        _read(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("test", "received"),
    [
        (IMAGES[:, :2], r"uint8 \[2, 4, 1\] but training examples are uint8 \[3, 4, 1\]"),
        (IMAGES.astype("f4"), r"float32 \[3, 4, 1\] but training examples are uint8 \[3, 4, 1\]"),
    ],
)
def test_a_test_set_of_another_shape_or_type_is_refused(
    tmp_path: Path, test: Array, received: str
) -> None:
    np.savez(tmp_path / "d.npz", x_train=IMAGES, x_test=test)
    with pytest.raises(DataError, match=f"test examples are {received}"):
        _read(tmp_path / "d.npz")


def test_the_expected_digest_lets_the_file_through(tmp_path: Path) -> None:
    path = _save(tmp_path / "x.npy", IMAGES)
    digest = _read(path).files["x.npy"]
    assert _read(path, sha256={"x.npy": digest}).files == {"x.npy": digest}


def test_another_digest_names_the_file_and_both_digests(tmp_path: Path) -> None:
    path = _save(tmp_path / "x.npy", IMAGES)
    received, expected = _read(path).files["x.npy"], "0" * 64
    message = f"x.npy has SHA-256 {received}, expected {expected}; fetch the file again or correct"
    with pytest.raises(DataError, match=message):
        _read(path, sha256={"x.npy": expected})


def test_a_digest_of_a_file_that_was_not_read_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(DataError, match=r"y\.npy has SHA-256 \(no such file was read\), expected"):
        _read(path, sha256={"y.npy": "0" * 64})


def _read_closed(path: Path) -> None:
    with pytest.raises(
        DataError, match=r"cannot read .*: Permission denied; get the right to read"
    ):
        _read(path)


def test_what_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    folder = _mnist(tmp_path / "closed")
    for path in (
        _save(tmp_path / "x.npy", IMAGES),
        _mnist(tmp_path / "open") / "train-images-idx3-ubyte",
        folder,
    ):
        path.chmod(0)
        run_without_privileges(_read_closed, path)
    run_without_privileges(_read_closed, tmp_path / "open")
    run_without_privileges(_read_closed, folder / "x.npy")


def test_a_folder_is_no_file_of_the_format_that_was_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no file: data\.format npz expects the path of one"):
        _read(tmp_path, format="npz")
