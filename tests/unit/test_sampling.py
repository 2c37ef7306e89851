"""Files of samples say that they are synthetic, of which model, and how they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from aegan_pipelines.sampling import check_output, write_samples
from PIL import Image

import aegan
from aegan.batch.source import open_source
from aegan.data.schema import SCHEMA_VERSION
from aegan.errors import DataError, StoreError
from tests.make_version import VERSIONS


@pytest.fixture(scope="module")
def model() -> aegan.Model:
    return aegan.load(f"{VERSIONS}/{SCHEMA_VERSION}/models/tiny@champion")


def expected_marks(model: aegan.Model) -> dict[str, str]:
    return {
        "synthetic": "true",
        "model": "tiny",
        "model_version": model.version,
        "model_digest": model.digest,
        "aegan_version": aegan.__version__,
        "seed": "7",
        "label": "3",
    }


def test_every_format_holds_the_samples_and_the_marks(model: aegan.Model, tmp_path: Path) -> None:
    samples, marks = model.sample(12, 7, 3), expected_marks(model)
    for name in ("o.png", "o.npz", "o.parquet", "o"):
        write_samples(model, 12, 7, tmp_path / name, label=3)
    assert Image.open(tmp_path / "o.png").text == marks
    with np.load(tmp_path / "o.npz") as found:
        assert np.array_equal(found["samples"], samples)
        assert {name: str(found[name]) for name in marks} == marks
        assert set(found.files) == {"samples", *marks}
    table = pa.parquet.read_table(tmp_path / "o.parquet")
    found = table.schema.metadata
    assert {name: found[f"aegan.{name}".encode()].decode() for name in marks} == marks
    flat = table.column("sample").combine_chunks().flatten().to_numpy()
    assert np.array_equal(flat.reshape(samples.shape), samples)
    assert Image.open(tmp_path / "o" / "sample-03.png").text == marks | {"sample": "3"}
    (block,) = open_source(tmp_path / "o", model.shape, model.dtype).blocks(0, [12])
    assert np.array_equal(block.examples, samples)


def test_a_seed_that_was_not_given_is_written_down(model: aegan.Model, tmp_path: Path) -> None:
    write_samples(model, 5, None, tmp_path / "o.npz")
    with np.load(tmp_path / "o.npz") as found:
        assert np.array_equal(found["samples"], model.sample(5, seed=int(str(found["seed"]))))
        assert "label" not in found.files


def test_a_folder_that_exists_is_left_alone(model: aegan.Model, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "kept.txt").write_text("kept")
    with pytest.raises(DataError, match="o exists already: expected the name of a new folder"):
        check_output(tmp_path / "o")
    with pytest.raises(StoreError, match="cannot write"):  # made by another meanwhile
        write_samples(model, 5, 1, tmp_path / "o")
    assert [p.name for p in tmp_path.rglob("*")] == ["o", "kept.txt"]


def test_a_bucket_is_no_place_for_samples() -> None:
    with pytest.raises(DataError, match="expected a local file or folder"):
        check_output(Path("gs://bucket/o.npz"))
