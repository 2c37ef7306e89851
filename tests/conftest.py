"""Shared fixtures: a strict GCS emulator, a tiny configuration, and one published model."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("AEGAN_PROGRESS_SECONDS", "3600")
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) >= (os.cpu_count() or 1):
    # Each worker has a core: more threads than cores spend their time waiting for each other.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if "TF_XLA_FLAGS" not in os.environ:
    # Hundreds of tests, and the processes that they start, train the same few small networks: what one
    # has compiled, the others load. Workers inherit this from the process that starts them.
    _COMPILED = tempfile.TemporaryDirectory(prefix="aegan-tests-")
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={_COMPILED.name}"

from tests.gcs import StrictEmulator

if TYPE_CHECKING:
    from tests.kfp_server import KfpServer

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def emulator() -> Iterator[StrictEmulator]:
    with StrictEmulator() as running:
        yield running


@pytest.fixture
def bucket(emulator: StrictEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty prefix in an emulated bucket that enforces generation preconditions."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    return emulator.new_prefix()


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place to write to: each test runs on a folder and on a bucket."""
    if request.param == "folder":
        return str(tmp_path / "root")
    return str(request.getfixturevalue("bucket"))


def tiny(**sections: Any) -> dict[str, Any]:
    """A configuration of the digits that trains in seconds, as a tree; sections are merged in."""
    tree: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "data": {"source": "digits", "test_fraction": 0.2},
        "autoencoder": {
            "hidden": [64],
            "latent_size": 8,
            "batch_size": 64,
            "learning_rate": 3e-3,
            "steps": 1000,
            "validate_every": 100,
        },
        "gan": {"hidden": [32], "components": 4, "noise_size": 4, "batch_size": 64, "steps": 100},
        "evaluation": {"feature_steps": 50, "samples": 200},
    }
    for name, values in sections.items():
        if isinstance(values, dict) and isinstance(tree.get(name), dict):
            tree[name] = tree[name] | values
        else:
            tree[name] = values
    return tree


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of one tiny run through the real pipeline under kfp.local; read it, do not write."""
    from aegan_pipelines.local_runner import run_locally

    from aegan.config_file import validate

    root = tmp_path_factory.mktemp("published") / "root"
    events: list[tuple[str, str, str]] = []
    record = run_locally(
        validate(tiny(), "tiny"),
        str(root),
        show=lambda *event: events.append(event),
        progress_seconds=0.2,
    )
    return record | {"root": str(root), "events": events}


def make_stages(tree: dict[str, Any], root: str) -> dict[str, Any]:
    """Run all stages but `publish` in this process, without Kubeflow; returns their results."""
    from aegan.config_file import validate
    from aegan.stages import evaluate, normalize, train_autoencoder, train_gan

    config = validate(tree, "test").to_json()
    data = normalize.run(config, root, "test-run")
    encoded = train_autoencoder.run(config, root, data.uri)
    generated = train_gan.run(config, root, data.uri, encoded.uri)
    judged = evaluate.run(config, root, data.uri, encoded.uri, generated.uri)
    return {
        "config": config,
        "normalize": data,
        "train_autoencoder": encoded,
        "train_gan": generated,
        "evaluate": judged,
    }


def heed_signals() -> None:
    """As a command started from a terminal does, also where the tests run in the background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster, address, credentials or context file of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("AEGAN_", "KF_PIPELINES", "KUBERNETES_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def context_file(text: str, mode: int = 0o600) -> Path:
    """The context file of the home folder, written."""
    path = Path.home() / ".config" / "aegan" / "context.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def kfp_server() -> Iterator[KfpServer]:
    """A double of the Kubeflow Pipelines API server that executes what it is given."""
    from tests.kfp_server import KfpServer

    with KfpServer() as running:
        yield running


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes most of the time in tests of schedules, and is tested elsewhere."""
    from aegan_pipelines import submission

    cache: dict[str, bytes] = {}
    compiled = submission.compiled

    def cached(config: Any) -> bytes:
        key = config.to_json()
        if key not in cache:
            cache[key] = compiled(config)
        return cache[key]

    monkeypatch.setattr(submission, "compiled", cached)
