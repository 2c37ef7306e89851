"""A published version answers the same in every form, in processes that know nothing of aegan."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

import aegan
from aegan.data.normalizer import Normalizer

IMAGES = load_digits().images.astype(np.uint8)[:50, ..., np.newaxis]
TOLERANCE = 1e-5  # of the range of what Keras says
SEED, COUNT = 5, 300

ALONE = """
import sys
sys.modules["aegan"] = None  # any import of it fails
import numpy as np
folder, images, out = sys.argv[1:]
images = np.load(images)
"""
FORMS = {
    "SavedModel": """
import tensorflow as tf
auto = tf.saved_model.load(folder + "/serving/autoencoder/1").signatures
generator = tf.saved_model.load(folder + "/serving/generator/1").signatures
codes = auto["encode"](examples=images)["codes"]
one = auto["encode"](examples=images[:1])["codes"]
found = dict(encode=codes, one=one, decode=auto["decode"](codes=codes)["examples"],
    reconstruct=auto["reconstruct"](examples=images)["examples"],
    score=auto["score"](examples=images)["scores"],
    sample=generator["sample"](num=tf.constant(300), seed=tf.constant(5))["examples"])
""",
    "ONNX": """
import onnxruntime
def run(name, **inputs):
    session = onnxruntime.InferenceSession(f"{folder}/onnx/{name}/1/model.onnx")
    return session.run(None, inputs)[0]
codes = run("encode", examples=images)
found = dict(encode=codes, one=run("encode", examples=images[:1]), decode=run("decode", codes=codes),
    reconstruct=run("reconstruct", examples=images), score=run("score", examples=images),
    sample=run("sample", num=np.array(300, np.int32), seed=np.array(5, np.int32)))
assert "tensorflow" not in sys.modules
""",
    "LiteRT": """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=folder + "/litert/autoencoder.tflite")
run = interpreter.get_signature_runner
codes = run("encode")(examples=images)["codes"]
found = dict(encode=codes, one=run("encode")(examples=images[:1])["codes"],
    decode=run("decode")(codes=codes)["examples"],
    reconstruct=run("reconstruct")(examples=images)["examples"],
    score=run("score")(examples=images)["scores"])
assert "tensorflow" not in sys.modules
""",
    "Keras": """
import keras
load = keras.models.load_model
encode, decode = (load(f"{folder}/keras/{name}.keras", safe_mode=True)
                  for name in ("encode", "decode"))
codes = np.asarray(encode(images))
found = dict(encode=codes, one=encode(images[:1]), decode=decode(codes),
    reconstruct=decode(encode(images)))
""",
}


@pytest.fixture(scope="module")
def version(published: dict[str, Any]) -> Path:
    return Path(published["model"])


@pytest.fixture(scope="module")
def expected(version: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the Keras models say, normalised and denormalised by hand."""
    import keras

    place = tmp_path_factory.mktemp("by_hand")
    text = (version / "preprocess" / "normalizer.json").read_text("utf-8")
    normalizer = Normalizer.from_json(text)
    load = keras.models.load_model
    encoder, decoder = (load(version / "keras" / f"{n}.keras") for n in ("encoder", "decoder"))
    normalized = normalizer.apply(IMAGES)
    codes = np.asarray(encoder(normalized))
    decoded = np.asarray(decoder(codes))
    rebuilt = normalizer.invert(decoded)
    score = np.mean((normalized - decoded) ** 2, axis=(1, 2, 3))
    one = np.asarray(encoder(normalized[:1]))
    whole = {"encode": codes, "one": one, "decode": rebuilt, "reconstruct": rebuilt, "score": score}
    return whole | {"sample": np.rint(by_hand(version, place)).astype(np.uint8)}


def by_hand(version: Path, place: Path) -> Any:
    """Samples in raw units, worked out from the Keras networks and the mixture in a fresh process."""
    gan = yaml.safe_load((version / "config.yaml").read_text("utf-8"))["gan"]
    normalizer = json.loads((version / "preprocess" / "normalizer.json").read_text("utf-8"))
    job = {
        "folder": str(version),
        "noise_size": gan["noise_size"],
        "prior": gan["prior"],
        "whitened": gan["space"] == "latent",
        "draws": gan["draws_per_sample"],
        "frequencies": None,
        "offset": normalizer["offset"],
        "scale": normalizer["scale"],
        "num": COUNT,
        "seed": SEED,
        "out": str(place / "by_hand.npz"),
    }
    (place / "jobs.json").write_text(json.dumps([job]))
    program = Path(__file__).with_name("by_hand.py")
    command = [sys.executable, "-I", str(program), str(place / "jobs.json")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(place / "by_hand.npz") as found:
        for form in (
            "SavedModel",
            "ONNX",
        ):  # rounded, so what lies close to a half may go either way
            apart = np.abs(found[form].astype(float) - found["by_hand"])
            assert apart.max() <= 0.5 + TOLERANCE * 16, form
        return found["by_hand"]


def alone(program: str, folder: Path, place: Path) -> dict[str, Any]:
    """Run in a fresh process, elsewhere, with no path of ours."""
    np.save(place / "images.npy", IMAGES)
    arguments = [str(folder), str(place / "images.npy"), str(place / "out.npz")]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    code = f"{ALONE}{program}\nnp.savez(out, **found)\nassert sys.modules['aegan'] is None"
    command = [sys.executable, "-I", "-c", code, *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(place / "out.npz") as found:
        return dict(found)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_what_keras_says_where_aegan_is_not_installed(
    form: str, version: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    for name, value in alone(FORMS[form], version, tmp_path).items():
        ours, theirs = value.astype(float), expected[name].astype(float)
        assert (value.shape, value.dtype) == (expected[name].shape, expected[name].dtype), name
        if (
            expected[name].dtype == np.uint8
        ):  # what is a rounding apart from a half may be a unit apart
            assert np.abs(ours - theirs).max() <= 1, name
            assert (ours != theirs).mean() < 1e-3, name
        else:
            scale = np.ptp(expected["encode" if name == "one" else name])
            assert np.abs(ours - theirs).max() <= TOLERANCE * scale, name


def test_both_backends_say_the_same(version: Path) -> None:
    models = [
        aegan.Model(version, "tiny", version.name, "", name) for name in ("onnx", "tensorflow")
    ]
    assert [model.backend for model in models] == ["onnx", "tensorflow"]
    assert len({model.latent_size for model in models}) == 1
    codes, scores, samples = (
        [getattr(model, name)(*given) for model in models]
        for name, *given in (("encode", IMAGES), ("score", IMAGES), ("sample", 700, 3))
    )
    assert np.abs(codes[0] - codes[1]).max() <= TOLERANCE * np.ptp(codes[1])
    assert np.abs(scores[0] - scores[1]).max() <= TOLERANCE * np.ptp(scores[1])
    assert np.abs(samples[0].astype(int) - samples[1]).max() <= 1
    assert (samples[0] != samples[1]).mean() < 1e-3


WITHOUT = """
import sys
sys.modules["tensorflow"] = None  # any import of it fails
import aegan
model = aegan.load(sys.argv[1], **eval(sys.argv[2]))
images = model.sample(20, seed=5)
model.is_anomaly(images, false_alarm=0.1), model.reconstruct(images), model.decode(model.encode(images))
print(model.backend, sys.modules["tensorflow"], "keras" in sys.modules, "kfp" in sys.modules)
"""


@pytest.mark.parametrize("options", [{}, {"backend": "onnx"}], ids=str)
def test_with_onnx_runtime_nothing_imports_tensorflow(
    options: dict[str, str], published: dict[str, Any]
) -> None:
    reference = f"{published['root']}/models/tiny"
    command = [sys.executable, "-c", WITHOUT, reference, repr(options)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "onnx None False False\n", done.stderr


def test_the_command_that_samples_imports_no_tensorflow(
    published: dict[str, Any], tmp_path: Path
) -> None:
    program = (
        "import sys; sys.modules['tensorflow'] = None\nimport aegan_pipelines.cli as c; c.main()"
    )
    arguments = ["sample", f"{published['root']}/models/tiny", "--seed", "1", "-o", "grid.png"]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "grid.png").is_file()


MLFLOW = """
import mlflow
model = mlflow.pyfunc.load_model(folder)
found = model.predict(images)
assert "tensorflow" not in sys.modules
"""


def test_mlflow_loads_the_folder_and_scores(
    version: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny pandas")
    for folder in (version, version / "onnx" / "score" / "1"):
        found = alone(MLFLOW, folder, tmp_path)
        assert list(found) == ["scores"]
        assert np.abs(found["scores"] - expected["score"]).max() <= TOLERANCE * np.ptp(
            expected["score"]
        )


def ask(address: str, inputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    body = None if inputs is None else json.dumps({"inputs": inputs}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))


@pytest.mark.skipif(
    "AEGAN_KSERVE_PYTHON" not in os.environ,
    reason="run `make kserve` first, or set AEGAN_KSERVE_PYTHON to a Python that has kserve and"
    " onnxruntime",
)
def test_a_kserve_model_server_answers_by_the_open_inference_protocol(
    version: Path, expected: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    server = Path(__file__).parent / "kserve_server.py"
    command = [
        os.environ["AEGAN_KSERVE_PYTHON"],
        "-I",
        str(server),
        str(version / "onnx"),
        str(port),
    ]
    with subprocess.Popen(command) as process:
        try:
            address = f"http://127.0.0.1:{port}/v2/models"
            wait_for(f"{address}/score/ready", process)
            given = tensor("examples", IMAGES)
            for name, of in (("encode", "encode"), ("score", "score"), ("reconstruct", "decode")):
                (answer,) = ask(f"{address}/{name}/infer", [given])["outputs"]
                found = np.array(answer["data"]).reshape(answer["shape"])
                tolerance = 1 if name == "reconstruct" else TOLERANCE * np.ptp(expected["encode"])
                assert np.abs(found - expected[of]).max() <= tolerance
            numbers = {"num": COUNT, "seed": SEED}
            given_numbers = [tensor(k, np.array([v], np.int32)) for k, v in numbers.items()]
            (answer,) = ask(f"{address}/sample/infer", given_numbers)["outputs"]
            drawn = np.array(answer["data"]).reshape(answer["shape"])
            assert np.abs(drawn - expected["sample"]).max() <= 1
        finally:
            process.terminate()


def tensor(name: str, array: Any) -> dict[str, Any]:
    kind = {"uint8": "UINT8", "int32": "INT32"}[array.dtype.name]
    data = array.ravel().tolist()
    return {"name": name, "shape": list(array.shape), "datatype": kind, "data": data}


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    import time

    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            ask(address)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(address)
