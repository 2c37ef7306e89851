"""Splits that hold still, a scaling that has seen the training rows only, and files that say so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegan.config import Config
from aegan.config_file import validate
from aegan.data import dataset as dataset_module
from aegan.data.dataset import SPLITS, Dataset, open_dataset, write_dataset
from aegan.data.normalizer import Normalizer, fit
from aegan.data.sources import RawData
from aegan.data.splits import row_fractions, split_rows
from aegan.errors import DataError
from tests.conftest import tiny

Array = np.ndarray[Any, Any]

EPSILON = 2.0**-23  # of float32
SEED, VALIDATION, TEST = 3, 0.1, 0.2


def _config(kind: str = "tabular", **sections: Any) -> Config:
    data = {
        "source": "given",
        "kind": kind,
        "validation_fraction": VALIDATION,
        "test_fraction": TEST,
    }
    return validate(tiny(**({"data": data, "seed": SEED} | sections)), "f")


def _raw(
    examples: Array,
    labels: Array | None = None,
    test: Array | None = None,
    test_labels: Array | None = None,
) -> RawData:
    digest = hashlib.sha256(examples.tobytes()).hexdigest()
    return RawData(examples, labels, test, test_labels, {"given": digest})


def _table(rows: int = 400, columns: int = 3) -> Array:
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def _write(folder: Path, *arrays: Array | None, **sections: Any) -> Dataset:
    """A dataset of a table; with labels, test set and its labels if they are given."""
    return write_dataset(_raw(*arrays), _config(**sections), folder)  # type: ignore[arg-type]


def _rows(examples: Array, seed: int = SEED) -> dict[str, Array]:
    parts = split_rows(examples, seed, validation=VALIDATION, test=TEST)
    return dict(zip(SPLITS, parts, strict=True))


def _split_of(examples: Array, seed: int = SEED) -> dict[bytes, str]:
    """The split that each row lies in, by the bytes of the row."""
    parts = _rows(examples, seed).items()
    return {examples[row].tobytes(): split for split, rows in parts for row in rows}


# --- Splits


def test_the_fraction_of_a_row_is_its_keyed_hash() -> None:
    """Spelled out again, so that no release silently moves rows between splits."""
    table = _table(20)
    key = (3).to_bytes(8, "big")
    expected = [
        int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=6, key=key).digest(), "big")
        / 2**48
        for row in table
    ]
    np.testing.assert_array_equal(row_fractions(table, SEED), expected)


def test_splits_are_a_function_of_the_seed() -> None:
    table = _table()
    assert _split_of(table, 3) == _split_of(table.copy(), 3)
    assert _split_of(table, 3) != _split_of(table, 4)


def test_every_row_lies_in_exactly_one_split_in_source_order() -> None:
    parts = _rows(_table()).values()
    assert all((np.diff(rows) > 0).all() for rows in parts)
    assert np.sort(np.concatenate(list(parts))).tolist() == list(range(400))


def test_insert_order_does_not_matter() -> None:
    table = _table()
    shuffled = np.random.default_rng(1).permutation(table)
    assert _split_of(shuffled) == _split_of(table)


def test_added_and_removed_rows_move_no_other_row() -> None:
    table = _table()
    fewer, all_rows = _split_of(table[50:300]), _split_of(table)
    assert len(fewer) == 250
    assert all(all_rows[row] == split for row, split in fewer.items())


def test_the_layout_in_memory_does_not_matter() -> None:
    table = _table()
    np.testing.assert_array_equal(
        row_fractions(np.asfortranarray(table), SEED), row_fractions(table, SEED)
    )
    images = table[:396].reshape(99, 2, 6)
    np.testing.assert_array_equal(
        row_fractions(images, SEED), row_fractions(table[:396].reshape(99, 12), SEED)
    )


def test_duplicates_stay_on_one_side() -> None:
    table = np.repeat(_table(40), 10, axis=0)
    for rows in split_rows(table, SEED, validation=0.3, test=0.3):
        values, counts = np.unique(table[rows], axis=0, return_counts=True)
        assert len(values) > 0
        assert (counts == 10).all()


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.3, 0.5), (0.01, 0.0)])
def test_splits_have_the_wanted_size(validation: float, test: float) -> None:
    rows = 20_000
    table = np.arange(rows)[:, np.newaxis]
    parts = split_rows(table, SEED, validation=validation, test=test)
    for part, wanted in zip(parts, (1 - validation - test, validation, test), strict=True):
        deviation = np.sqrt(wanted * (1 - wanted) / rows)  # binomial
        assert abs(len(part) / rows - wanted) <= 5 * deviation


def test_a_test_set_of_its_own_is_kept_as_it_is(tmp_path: Path) -> None:
    table, test = _table(), _table(50)[::-1] * 2
    dataset = _write(tmp_path, table, None, test)
    assert dataset.rows("train") + dataset.rows("validation") == len(table)
    assert dataset.rows("test") == len(test)
    np.testing.assert_array_equal(dataset.features("test"), dataset.normalizer.apply(test))


# --- Normalizer


def test_the_scaling_never_sees_the_test_set(tmp_path: Path) -> None:
    table, test = _table(), _table(50)
    files = [
        (_write(tmp_path / name, table, None, values).folder / "normalizer.json").read_bytes()
        for name, values in {"one": test, "other": test * 1000}.items()
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_scaling_never_sees_a_row_that_was_set_aside(tmp_path: Path, split: str) -> None:
    table = _table()
    table[7] = 1000.0  # by far the largest
    seed = next(seed for seed in range(100) if 7 in _rows(table, seed)[split])
    dataset = _write(tmp_path, table, seed=seed)
    train = table[_rows(table, seed)["train"]]
    np.testing.assert_array_equal(dataset.normalizer.offset, train.min(axis=0))
    assert dataset.features("train").max() <= 1.0
    assert dataset.features(split).max() > 100.0


def test_minmax_maps_the_training_range_to_zero_and_one() -> None:
    table = np.array([[-5, 100], [15, 300], [5, 200]], np.int32)
    normalizer = fit(table, "minmax", "tabular")
    np.testing.assert_array_equal(normalizer.apply(table), [[0, 0], [1, 1], [0.5, 0.5]])


def test_standard_gives_each_column_mean_zero_and_deviation_one() -> None:
    table = _table() * [1, 50, 0.01] + [3, -200, 0.5]
    normalized = fit(table, "standard", "tabular").apply(table)
    # Float32 of values up to 5 deviations from a mean that is itself up to 50 deviations away.
    np.testing.assert_allclose(normalized.mean(axis=0, dtype=np.float64), 0, atol=50 * EPSILON)
    np.testing.assert_allclose(normalized.std(axis=0, dtype=np.float64), 1, atol=50 * EPSILON)


@pytest.mark.parametrize(
    ("kind", "shape", "scales"),
    [("image", (50, 4, 4, 3), ()), ("tabular", (50, 7), (7,)), ("sequence", (50, 6, 2), (2,))],
)
@pytest.mark.parametrize("method", ["minmax", "standard"])
def test_images_have_one_scale_and_columns_and_channels_their_own(
    method: str, kind: str, shape: tuple[int, ...], scales: tuple[int, ...]
) -> None:
    examples = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    normalizer = fit(examples, method, kind)
    assert normalizer.offset.shape == normalizer.scale.shape == scales
    np.testing.assert_array_equal(normalizer.invert(normalizer.apply(examples)), examples)


def _extreme_columns(dtype: str) -> Array:
    """[257, 2] that float32 arithmetic must give back exactly.

    Rounding errs by a few 2⁻²⁴ of the largest magnitude, which stays far below the 0.5 that would
    change an integer of up to 2²⁰.
    """
    if dtype == "uint8":
        return np.stack([np.arange(257) % 256, np.arange(257) // 64], axis=1).astype(dtype)
    steps = np.linspace(-1, 1, 257)
    return np.rint(np.stack([steps * 2**20, 1000 + steps * 300], axis=1)).astype(dtype)


@pytest.mark.parametrize("method", ["minmax", "standard"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integers_come_back_exactly(method: str, dtype: str) -> None:
    columns = _extreme_columns(dtype)
    normalizer = fit(columns, method, "tabular")
    back = normalizer.invert(normalizer.apply(columns))
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, columns)


@pytest.mark.parametrize("method", ["minmax", "standard"])
@pytest.mark.parametrize("dtype", ["int64", "uint32", "float64"])
def test_small_differences_between_large_numbers_survive(method: str, dtype: str) -> None:
    """Times in seconds since 1970: float32 would tell only every 128th of them apart."""
    times = (1_700_000_000 + np.arange(100)).astype(dtype)[:, np.newaxis]
    normalizer = Normalizer.from_json(fit(times, method, "tabular").to_json())
    for back in (
        normalizer.invert(normalizer.apply(times)),
        normalizer.invert_tensor(normalizer.apply_tensor(times)).numpy(),
    ):
        np.testing.assert_allclose(back, times, atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", ["minmax", "standard"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_come_back_to_the_precision_of_float32(method: str, dtype: str) -> None:
    columns = (_table() * [1, 1e6, 1e-6] + [10, 0, 0]).astype(dtype)
    normalizer = fit(columns, method, "tabular")
    normalized = normalizer.apply(columns)
    back = normalizer.invert(normalized)
    assert normalized.dtype == np.float32
    assert back.dtype == np.dtype(dtype)
    # Five roundings, each by at most half an epsilon of at most the column's range.
    largest = 2 * np.abs(columns).max(axis=0)
    assert (np.abs(back - columns) <= 2.5 * EPSILON * largest).all()


@pytest.mark.parametrize("method", ["minmax", "standard"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_a_constant_column_becomes_zero_and_comes_back(
    method: str, dtype: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # 0.1 and 1/3 are no float: their mean is rounded, and so their deviation is not quite 0.
    constants = [np.full(999, 7), np.full(999, 0.1), np.full(999, 1 / 3)]
    columns = np.stack([*constants, np.arange(999) % 200], axis=1).astype(dtype)
    normalizer = fit(columns, method, "tabular")
    assert "3 columns never vary: 0, 1, 2" in capfd.readouterr().err
    normalized = normalizer.apply(columns)
    np.testing.assert_allclose(normalized[:, :3], 0, atol=EPSILON)
    np.testing.assert_allclose(normalizer.invert(normalized)[:, :3], columns[:, :3], rtol=EPSILON)
    np.testing.assert_array_equal(normalizer.scale[:3], 1)


@pytest.mark.parametrize("kind", ["image", "tabular", "sequence"])
def test_data_that_does_not_vary_is_refused(kind: str) -> None:
    shape = {"image": (9, 8, 8, 1), "tabular": (9, 3), "sequence": (9, 4, 2)}[kind]
    with pytest.raises(DataError, match="all 9 training rows are the same to the precision"):
        fit(np.full(shape, 0.1), "standard", kind)
    tiny_values = np.random.default_rng(0).normal(size=shape) * 1e-300
    with pytest.raises(DataError, match="scale up values that are smaller than 1e-38"):
        fit(tiny_values, "minmax", kind)


def test_a_column_that_float32_cannot_tell_from_a_constant_stays_finite() -> None:
    normalizer = fit(np.array([[0.0, 0.0], [1e-50, 1.0]]), "minmax", "tabular")
    assert np.isfinite(normalizer.apply(np.array([[0.0, 0.0], [1e-50, 1.0], [1.0, 2.0]]))).all()


def test_the_deviation_of_many_small_floats_is_exact_enough() -> None:
    """Half precision sums overflow beyond 65504; the fit must not sum in the raw type."""
    values = np.full((100_000, 1), 2.0, np.float16)
    values[::2] = 4.0
    normalizer = fit(values, "standard", "tabular")
    assert (normalizer.offset[0], normalizer.scale[0]) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("int16", -(2**15), 2**15 - 1),
        ("int32", -(2**31), 2**31 - 1),
        ("uint32", 0, 2**32 - 1),
        # The largest float64 below 2⁶³ is 2⁻⁵³ of it away.
        ("int64", -(2**63), 2**63 - 2**10),
    ],
)
def test_what_lies_outside_an_integer_type_is_kept_within_it(
    dtype: str, low: int, high: int
) -> None:
    limits = np.iinfo(dtype)
    normalizer = fit(np.array([[limits.min], [limits.max]], dtype), "minmax", "tabular")
    outside = np.array([[-1.0], [0.0], [1.0], [2.0]], np.float32)
    expected = [low, low, high, high]
    assert normalizer.invert(outside).ravel().tolist() == expected
    assert normalizer.invert_tensor(outside).numpy().ravel().tolist() == expected


@pytest.mark.parametrize("method", ["minmax", "standard"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_arrays_and_tensors_agree(method: str, dtype: str) -> None:
    columns = _extreme_columns(dtype)
    normalizer = fit(columns, method, "tabular")
    normalized = normalizer.apply(columns)
    as_tensor = normalizer.apply_tensor(columns).numpy()
    assert as_tensor.dtype == np.float32
    # XLA may multiply by the reciprocal, and each form may round once more than the other.
    np.testing.assert_allclose(as_tensor, normalized, rtol=4 * EPSILON, atol=EPSILON)
    back = normalizer.invert_tensor(normalized).numpy()
    assert back.dtype == np.dtype(dtype)
    if np.dtype(dtype).kind == "f":
        near_zero = 2 * EPSILON * 2**20  # where the offset and the product cancel
        np.testing.assert_allclose(
            back, normalizer.invert(normalized), rtol=4 * EPSILON, atol=near_zero
        )
    else:
        np.testing.assert_array_equal(back, normalizer.invert(normalized))


@pytest.mark.parametrize("kind", ["image", "tabular"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_normalizer_survives_its_file_bit_by_bit(kind: str, dtype: str) -> None:
    shape = (50, 6, 1, 1) if kind == "image" else (50, 6)
    examples = np.random.default_rng(0).normal(1 / 3, 1 / 7, shape).astype(dtype)
    normalizer = fit(examples, "standard", kind)
    found = Normalizer.from_json(normalizer.to_json())
    assert (found.method, found.raw_dtype) == ("standard", dtype)
    for one, other in ((found.offset, normalizer.offset), (found.scale, normalizer.scale)):
        assert (one.dtype, one.shape) == (np.dtype(dtype), other.shape)
        np.testing.assert_array_equal(one, other)
    assert found.to_json() == normalizer.to_json()


# --- Files


def test_a_dataset_is_opened_as_it_was_written(tmp_path: Path) -> None:
    table = _table()
    labels = np.where(table[:, 0] > 0, 30, np.where(table[:, 1] > 0, -7, 5))
    written = _write(tmp_path, table, labels)
    opened = open_dataset(tmp_path)
    assert opened.shape == (3,)
    assert opened.digest == _raw(table).digest()
    assert opened.num_classes == 3
    assert opened.description == written.description
    for split, rows in _rows(table).items():
        assert opened.rows(split) == len(rows)
        features, numbers = opened.features(split), opened.labels(split)
        assert numbers is not None
        assert (features.dtype, numbers.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(features, written.normalizer.apply(table[rows]))
        # Classes count from 0 in the order of their labels.
        np.testing.assert_array_equal(np.array([-7, 5, 30])[numbers], labels[rows])


def test_the_description_tells_the_truth_about_every_file(tmp_path: Path) -> None:
    _write(tmp_path, _table(), np.arange(400) % 2)
    text = (tmp_path / "dataset.json").read_text("utf-8")
    description = json.loads(text)
    assert text == json.dumps(description, indent=2, sort_keys=True) + "\n"
    found = {
        path.relative_to(tmp_path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "dataset.json"
    }
    assert description["files"] == found
    named = {"normalizer.json"}
    for split in description["splits"].values():
        named |= {*split["features"], *split["labels"]}
    assert named == found.keys()
    assert description["raw_dtype"] == "float32"


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    descriptions = [
        (_write(tmp_path / name, _table(), np.arange(400) % 2).folder / "dataset.json").read_bytes()
        for name in ("one", "other")
    ]
    assert descriptions[0] == descriptions[1]


def test_features_are_mapped_and_not_copied_into_memory(tmp_path: Path) -> None:
    _write(tmp_path, _table())
    for split in SPLITS:
        assert isinstance(open_dataset(tmp_path).features(split), np.memmap)


def test_many_shards_are_the_same_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, labels = _table(), np.arange(400) % 4
    whole = _write(tmp_path / "whole", table, labels)
    # Twenty rows of three float32 fit; a label counts as one float32.
    monkeypatch.setattr(dataset_module, "SHARD_BYTES", 20 * 3 * 4)
    _write(tmp_path / "shards", table, labels)
    shards = open_dataset(tmp_path / "shards")
    for split in SPLITS:
        files = shards.description["splits"][split]
        assert len(files["features"]) == -(-whole.rows(split) // 20)
        assert len(files["labels"]) == -(-whole.rows(split) // 60)
        np.testing.assert_array_equal(shards.features(split), whole.features(split))
        np.testing.assert_array_equal(shards.labels(split), whole.labels(split))


def test_a_row_larger_than_a_shard_is_a_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "SHARD_BYTES", 1)
    dataset = _write(tmp_path, _table(150), autoencoder={"batch_size": 8}, gan={"batch_size": 8})
    assert len(dataset.description["splits"]["train"]["features"]) == dataset.rows("train")


def test_a_dataset_of_another_schema_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, _table())
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(DataError, match=r"dataset schema 99, expected 1; run normalize again"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("larger", ["autoencoder", "gan"])
def test_fewer_rows_than_a_batch_are_refused(tmp_path: Path, larger: str) -> None:
    table = _table()
    train = len(_rows(table)["train"])
    message = (
        f"given: {train} training rows are fewer than one batch of {train + 1}; give more data or"
        r" lower autoencoder\.batch_size and gan\.batch_size"
    )
    with pytest.raises(DataError, match=message):
        _write(tmp_path, table, **{larger: {"batch_size": train + 1}})
    assert _write(tmp_path, table, **{larger: {"batch_size": train}}).rows("train") == train


def test_a_full_batch_may_be_smaller_than_a_batch(tmp_path: Path) -> None:
    full = {"batch": "full", "batch_size": 100_000}
    assert _write(tmp_path, _table(), autoencoder=full, gan=full).rows("train")


def test_one_training_row_is_refused_in_full_batch_too(tmp_path: Path) -> None:
    full = {"batch": "full"}
    data = {"source": "given", "kind": "tabular", "validation_fraction": 0.5, "test_fraction": 0.49}
    table = _table(40)
    seed = next(
        seed
        for seed in range(1000)
        if len(split_rows(table, seed, validation=0.5, test=0.49)[0]) == 1
    )
    message = (
        "the train split holds 1 of 40 rows, at least 2 are needed .*; give more data, or lower"
        r" data\.validation_fraction and data\.test_fraction"
    )
    with pytest.raises(DataError, match=message):
        _write(tmp_path, table, data=data, seed=seed, autoencoder=full, gan=full)


def test_an_empty_validation_split_is_refused(tmp_path: Path) -> None:
    data = {"source": "given", "kind": "tabular", "validation_fraction": 1e-12}
    message = (
        r"the validation split holds 0 of 400 rows, at least 6 are needed .*; give more data, raise"
        r" data\.validation_fraction .* or lower evaluation\.neighbours"
    )
    with pytest.raises(DataError, match=message):
        _write(tmp_path, _table(), data=data)


def test_a_test_set_needs_more_rows_than_neighbours(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the test split holds 5 of 405 rows, at least 6 are need"):
        _write(tmp_path, _table(), None, _table(5))
    dataset = _write(tmp_path, _table(), None, _table(5), evaluation={"neighbours": 4})
    assert dataset.rows("test") == 5


def test_classes_are_counted_over_all_splits(tmp_path: Path) -> None:
    labels, test_labels = np.arange(400) % 3, np.arange(50) % 5
    dataset = _write(tmp_path, _table(), labels, _table(50), test_labels)
    assert dataset.description["classes"] == [0, 1, 2, 3, 4]
    assert np.array_equal(dataset.labels("test"), test_labels)


def test_data_without_labels_has_no_classes(tmp_path: Path) -> None:
    dataset = _write(tmp_path, _table())
    assert dataset.num_classes == 0
    assert [dataset.labels(split) for split in SPLITS] == [None, None, None]
    assert dataset.description["classes"] is None


def test_labels_are_left_out_where_the_test_set_has_none(tmp_path: Path) -> None:
    dataset = _write(tmp_path, _table(), np.arange(400) % 3, _table(50))
    assert dataset.num_classes == 0
    assert dataset.labels("train") is None


def test_one_class_only_is_accepted(tmp_path: Path) -> None:
    dataset = _write(tmp_path, _table(), np.full(400, 9))
    assert dataset.num_classes == 1
    assert dataset.description["classes"] == [9]
    for split in SPLITS:
        np.testing.assert_array_equal(dataset.labels(split), np.zeros(dataset.rows(split)))


def test_images_keep_their_shape(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (400, 4, 5, 1), np.uint8)
    dataset = write_dataset(_raw(images), _config("image"), tmp_path)
    assert dataset.shape == (4, 5, 1)
    assert dataset.features("train").shape == (dataset.rows("train"), 4, 5, 1)
    train = images[_rows(images)["train"]]
    np.testing.assert_array_equal(dataset.normalizer.invert(dataset.features("train")), train)
