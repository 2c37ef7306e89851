"""What consumers do with a published model."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import aegan
from aegan import runtimes
from aegan.errors import DataError, DependencyError, IntegrityError, RegistryError

IMAGES = load_digits().images.astype(np.uint8)[:50, ..., np.newaxis]


@pytest.fixture(scope="module", params=["tensorflow", "onnx"])
def model(request: pytest.FixtureRequest, published: dict[str, Any]) -> aegan.Model:
    return aegan.load(f"{published['root']}/models/tiny@champion", backend=request.param)


@pytest.fixture(scope="module")
def on_tensorflow(published: dict[str, Any]) -> aegan.Model:
    return aegan.load(f"{published['root']}/models/tiny@champion", backend="tensorflow")


def test_it_knows_what_it_is(model: aegan.Model, published: dict[str, Any]) -> None:
    assert published["model"].endswith(model.version)
    assert (model.name, model.shape, model.dtype, model.latent_size) == (
        "tiny",
        (8, 8, 1),
        np.dtype(np.uint8),
        8,
    )


def test_raw_units_go_in_and_come_out(model: aegan.Model) -> None:
    codes = model.encode(IMAGES)
    assert (codes.shape, codes.dtype) == ((50, 8), np.float32)
    for images in (model.decode(codes), model.reconstruct(IMAGES), model.sample(50, seed=1)):
        assert (images.shape, images.dtype) == ((50, 8, 8, 1), np.uint8)
        assert images.max() <= 16
    assert np.array_equal(model.decode(codes), model.reconstruct(IMAGES))


def test_reconstructions_are_closer_to_their_originals_than_to_others(model: aegan.Model) -> None:
    rebuilt = model.reconstruct(IMAGES).reshape(50, -1).astype(float)
    flat = IMAGES.reshape(50, -1).astype(float)
    distances = ((rebuilt[:, np.newaxis] - flat[np.newaxis]) ** 2).mean(axis=2)
    own = np.diag(distances).mean()
    others = distances[~np.eye(50, dtype=bool)].mean()
    assert own < others / 2


def test_the_score_is_the_mean_squared_error_in_normalised_units(model: aegan.Model) -> None:
    # The digits use 0 to 16, so minmax divides by 16; reconstructions come rounded to whole units,
    # which moves each pixel by at most 1/32 in normalised units.
    error = (model.reconstruct(IMAGES).astype(float) - IMAGES) / 16
    from_rounded = np.sqrt((error**2).mean(axis=(1, 2, 3)))
    assert np.abs(np.sqrt(model.score(IMAGES)) - from_rounded).max() <= 1 / 32


def test_noise_scores_higher_than_digits(model: aegan.Model) -> None:
    noise = np.random.default_rng(0).integers(0, 17, IMAGES.shape).astype(np.uint8)
    assert model.score(noise).min() > model.score(IMAGES).max()


def test_digits_are_no_anomalies_and_noise_is(model: aegan.Model) -> None:
    assert model.is_anomaly(IMAGES).mean() <= 0.1
    noise = np.random.default_rng(0).integers(0, 17, IMAGES.shape).astype(np.uint8)
    assert model.is_anomaly(noise).all()
    assert model.threshold(0.5) < model.threshold(0.01)
    assert model.is_anomaly(IMAGES, false_alarm=0.5).mean() > 0.1


def test_a_version_without_scores_of_validation_examples_says_so(
    published: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "version"
    shutil.copytree(published["model"], folder)
    (folder / "preprocess" / "scores.json").unlink()
    model = aegan.Model(folder, "tiny", "1", "0")
    with pytest.raises(DataError, match="does not tell how its validation examples scored"):
        model.is_anomaly(IMAGES)


def test_arrays_on_disk_and_iterators_of_arrays_are_streamed(
    model: aegan.Model, tmp_path: Path
) -> None:
    many = np.tile(IMAGES, (50, 1, 1, 1))
    np.save(tmp_path / "many.npy", many)
    mapped = np.load(tmp_path / "many.npy", mmap_mode="r")
    parts = (many[i : i + 700] for i in range(0, len(many), 700))
    expected = model.score(many)
    assert np.array_equal(model.score(mapped), expected)
    assert np.allclose(model.score(parts), expected, rtol=1e-5)
    codes = model.encode(IMAGES)
    assert np.array_equal(model.decode(iter([codes])), model.decode(codes))
    with pytest.raises(DataError, match="an iterator that gave none"):
        model.encode(iter([]))


def test_what_is_held_meanwhile_does_not_grow_with_the_number_of_examples(
    model: aegan.Model, tmp_path: Path
) -> None:
    shape = (2_000_000, 8, 8, 1)  # 128 MB of uint8, a gigabyte as float64
    examples = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, shape)
    batches = model._batches(examples)
    tracemalloc.start()
    for _ in zip(range(300), batches, strict=False):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_a_backend_that_is_not_there_is_named_with_the_cure(
    published: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reference = f"{published['root']}/models/tiny"
    with pytest.raises(DataError, match="expected one of auto, tensorflow, onnx"):
        aegan.load(reference, backend="torch")
    folder = tmp_path / "version"
    shutil.copytree(published["model"], folder)
    shutil.rmtree(folder / "onnx")
    with pytest.raises(DependencyError, match="this version has no ONNX models"):
        aegan.Model(folder, "tiny", "1", "0", "onnx")
    assert aegan.Model(folder, "tiny", "1", "0").backend == "tensorflow"
    monkeypatch.setattr(runtimes, "_installed", lambda backend: backend == "onnx")
    with pytest.raises(DependencyError, match=r"needs TensorFlow.*pip install 'aegan\[train\]'"):
        aegan.load(reference, backend="tensorflow")
    monkeypatch.setattr(runtimes, "_installed", lambda backend: False)
    with pytest.raises(DependencyError, match="needs ONNX runtime or TensorFlow"):
        aegan.load(reference)


def test_the_same_seed_gives_the_same_samples_and_another_others(model: aegan.Model) -> None:
    assert np.array_equal(model.sample(20, seed=5), model.sample(20, seed=5))
    assert not np.array_equal(model.sample(20, seed=5), model.sample(20, seed=6))
    assert not np.array_equal(model.sample(20), model.sample(20))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_the_first_of_many_samples_are_those_that_fewer_would_be(
    model: aegan.Model, count: int
) -> None:
    many = model.sample(700, seed=5)
    assert len(np.unique(many.reshape(700, -1), axis=0)) > 600
    assert np.array_equal(model.sample(count, seed=5), many[:count])


def test_images_without_their_channel_axis_and_other_integer_types_are_understood(
    model: aegan.Model,
) -> None:
    expected = model.encode(IMAGES)
    assert np.array_equal(model.encode(IMAGES[..., 0]), expected)
    assert np.array_equal(model.encode(IMAGES.astype(np.int64)), expected)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (np.zeros((2, 9, 8, 1), np.uint8), r"shape \[2, 9, 8, 1\], expected \[N, 8, 8, 1\]"),
        (np.zeros((0, 8, 8, 1), np.uint8), "at least 1"),
        (np.full((2, 8, 8, 1), 0.5), "float64 with values that uint8 cannot hold"),
        (np.full((2, 8, 8, 1), np.nan), "NaN"),
        (np.full((2, 8, 8, 1), "x"), "expected uint8"),
        (np.full((2, 8, 8, 1), 1e50), "numbers beyond 1e"),
        ([[1, 2], [3]], "expected an array"),
    ],
)
def test_examples_of_another_kind_are_refused(
    model: aegan.Model, examples: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        model.encode(examples)


@pytest.mark.parametrize(
    "codes",
    [
        *(np.zeros((0, 8)), np.zeros((1, 7)), "x"),
        *(np.full((1, 8), value) for value in (np.nan, np.inf, 1e300, -1e39)),
        np.full((1, 8), 3e38, np.float32),
    ],
)
@pytest.mark.filterwarnings("error")
def test_codes_that_are_none_are_refused(model: aegan.Model, codes: Any) -> None:
    with pytest.raises(DataError, match="expected"):
        model.decode(codes)


@pytest.mark.parametrize(
    "arguments",
    [(0, 1), (1, -1), (1, 2**31), ("3", 1), (None, 1), (1.5, 1), (True, 1), (1, "a"), (1, 0.5)],
)
def test_impossible_draws_are_refused(model: aegan.Model, arguments: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match="expected"):
        model.sample(*arguments)


def test_a_model_that_knows_no_classes_says_so(model: aegan.Model) -> None:
    assert model.classes == []
    with pytest.raises(DataError, match=r"not trained with gan\.conditional: true"):
        model.sample(3, seed=1, label=0)


PLAIN = """
import sys
sys.modules["aegan"] = None  # any import of it fails
import numpy as np, tensorflow as tf
folder, images, out = sys.argv[1:]
auto = tf.saved_model.load(folder + "/autoencoder/1")
generator = tf.saved_model.load(folder + "/generator/1")
images = np.load(images)
signatures = auto.signatures
np.savez(out,
    encode=auto.encode(images), reconstruct=auto.reconstruct(images), score=auto.score(images),
    sample=generator.sample(tf.constant(20), tf.constant(5)),
    signature=signatures["encode"](examples=tf.constant(images))["codes"],
    drawn=generator.signatures["sample"](num=tf.constant(20), seed=tf.constant(5))["examples"],
)
assert set(signatures) == {"encode", "decode", "reconstruct", "score"}
"""


def test_the_savedmodel_gives_the_same_numbers_where_aegan_is_not_installed(
    on_tensorflow: aegan.Model, published: dict[str, Any], tmp_path: Path
) -> None:
    model = on_tensorflow
    np.save(tmp_path / "images.npy", IMAGES)
    arguments = [published["model"] + "/serving", str(tmp_path / "images.npy")]
    out = tmp_path / "out.npz"
    subprocess.run([sys.executable, "-c", PLAIN, *arguments, str(out)], check=True, cwd=tmp_path)
    with np.load(out) as found:
        for name in ("encode", "reconstruct", "score"):
            assert np.array_equal(found[name], getattr(model, name)(IMAGES)), name
        assert np.array_equal(found["sample"], model.sample(20, seed=5))
        assert np.array_equal(found["signature"], model.encode(IMAGES))
        assert np.array_equal(found["drawn"], model.sample(20, seed=5))


@pytest.fixture
def copy(published: dict[str, Any], tmp_path: Path) -> Path:
    shutil.copytree(Path(published["root"]) / "models", tmp_path / "models")
    return tmp_path


def test_a_tampered_file_is_named_and_nothing_is_loaded(
    copy: Path, published: dict[str, Any]
) -> None:
    version = copy / "models" / "tiny" / "versions" / published["model"].rsplit("/", 1)[-1]
    weights = version / "serving" / "autoencoder" / "1" / "variables"
    target = next(weights.glob("*.data*"))
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    (version / "extra.py").write_text("")
    (version / "README.md").unlink()
    with pytest.raises(IntegrityError) as caught:
        aegan.load(f"{copy}/models/tiny@champion")
    message = str(caught.value)
    assert f"changed: serving/autoencoder/1/variables/{target.name}" in message
    assert "extra: extra.py" in message
    assert "missing: README.md" in message


def test_an_unknown_alias_names_the_known_ones(copy: Path) -> None:
    with pytest.raises(RegistryError, match="no alias 'stable'.*champion"):
        aegan.load(f"{copy}/models/tiny@stable")
