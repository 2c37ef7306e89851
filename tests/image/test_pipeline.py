"""Every step in the image, as the compiled package starts it: non-root, read-only, with no network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from aegan_pipelines.pipeline import compile_package
from aegan_pipelines.sweep_pipeline import compile_sweep

import aegan
from aegan.config_file import validate
from aegan.store import open_store
from aegan.sweep import expand
from tests.conftest import tiny
from tests.gcs import StrictEmulator
from tests.image.containers import RESTRICTED_RUN, USER, docker, printed, run
from tests.kfp_server import KfpServer

DRIVER = Path(__file__).with_name("driver.py")
STEPS = ["normalize", "train-autoencoder", "train-gan", "evaluate", "publish", "record"]


@pytest.fixture(scope="module")
def reachable(network: tuple[str, str]) -> Iterator[tuple[str, StrictEmulator]]:
    """The network and, at its one address, a bucket."""
    name, gateway = network
    with StrictEmulator(gateway) as emulator:
        yield name, emulator


@pytest.fixture
def bucket(reachable: tuple[str, StrictEmulator], monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty prefix in the bucket, which this process reaches, too."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", reachable[1].url)
    return reachable[1].new_prefix()


def compiled(folder: Path) -> Path:
    """The package of the tiny configuration."""
    package = folder / "pipeline.yaml"
    compile_package(validate(tiny(), "tiny"), package, "gs://another/root")
    return package


def drive(
    package: Path, image: str, root: str, scratch: Path, reachable: tuple[str, StrictEmulator]
) -> tuple[int, str]:
    """Run a package under kfp.local's DockerRunner; exit code and log."""
    network, emulator = reachable
    outputs = scratch / "outputs"
    outputs.mkdir(parents=True)
    outputs.chmod(0o777)  # for the steps' user, who is nobody here
    arguments = {"root": root, "fresh": "", "data_source": "", "image": image}
    environment = {"STORAGE_EMULATOR_HOST": emulator.url}
    options = RESTRICTED_RUN | {"network": network, "environment": environment}
    command = [sys.executable, str(DRIVER), str(package)]
    command += [json.dumps(arguments), str(scratch), json.dumps(options)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    return done.returncode, done.stdout


def read_record(root: str) -> dict[str, Any]:
    store = open_store(root)
    (name,) = [name for name in store.list("runs") if name.endswith("/run.json")]
    return dict(json.loads(store.read(name) or b"{}"))


def test_the_network_leads_nowhere_else(image: str, reachable: tuple[str, StrictEmulator]) -> None:
    network, emulator = reachable
    assert docker("network", "inspect", "--format={{.Internal}}", network) == "true"
    address = urlsplit(emulator.url)
    script = """
import socket, sys
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        socket.create_connection((host, int(port)), 3).close()
        print("reached")
    except OSError:
        print("out of reach")
"""
    hosts = (str(address.hostname), str(address.port), "1.1.1.1", "443")
    done = run(image, "python", "-c", script, *hosts, network=network)
    assert done.stdout.splitlines() == ["reached", "out of reach"], done.stderr


def test_the_whole_pipeline_runs_in_the_image(
    image: str,
    reachable: tuple[str, StrictEmulator],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, log = drive(compiled(tmp_path), image, bucket, tmp_path, reachable)
    assert code == 0, log
    record = read_record(bucket)
    assert record["status"] == "published", log
    assert record["versions"]["tensorflow"].startswith("2.21")
    written = sorted(tmp_path.glob("outputs/*/*/executor_output.json"))
    assert sorted(path.parent.name for path in written) == sorted(STEPS)
    assert {path.stat().st_uid for path in written} == {int(USER.split(":")[0])}
    assert aegan.load(f"{bucket}/models/tiny@champion").sample(3, seed=1).shape == (3, 8, 8, 1)


def test_a_sweep_runs_in_the_image(
    image: str, reachable: tuple[str, StrictEmulator], bucket: str, tmp_path: Path
) -> None:
    """Its steps are other components: of the trials, the comparison and the record."""
    package = tmp_path / "sweep.yaml"
    quick = {"compiler": "graph"}
    tree = tiny(autoencoder={"steps": 100} | quick, gan={"steps": 20} | quick)
    source = tmp_path / "tiny.yaml"
    source.write_text(yaml.safe_dump(tree), "utf-8")
    config, trials = expand(str(source), (), ("gan.gamma=0.1,1",))
    compile_sweep(config, trials, "coverage", 2, package, "gs://another/root")
    code, log = drive(package, image, bucket, tmp_path, reachable)
    assert code == 0, log
    record = read_record(bucket)
    assert record["status"] in ("published", "rejected"), log
    rows = record["sweep"]["trials"]
    assert [(row["number"], row["score"] is not None) for row in rows] == [(1, True), (2, True)], (
        log
    )
    assert b"gan.gamma" in (open_store(record["page"].rpartition("/")[0]).read("sweep.html") or b"")
    written = list(tmp_path.glob("outputs/**/executor_output.json"))
    ran = [path.parent.name for path in written]
    assert sum(name.startswith("trial-step") for name in ran) == 8
    assert {"compare", "record-sweep"} <= set(ran)
    assert {path.stat().st_uid for path in written} == {int(USER.split(":")[0])}


def test_a_step_that_fails_at_once_is_never_a_success(
    image: str, reachable: tuple[str, StrictEmulator], bucket: str, tmp_path: Path
) -> None:
    """Several times: DockerRunner reports success if the container is gone before it asks."""
    package = compiled(tmp_path)
    spec = next(yaml.safe_load_all(package.read_text("utf-8")))
    container = spec["deploymentSpec"]["executors"]["exec-normalize"]["container"]
    container |= {"command": ["false"], "args": []}
    package.write_text(yaml.safe_dump(spec), "utf-8")
    for attempt in range(4):
        root = f"{bucket}/{attempt}"
        code, log = drive(package, image, root, tmp_path / str(attempt), reachable)
        assert code == 1, log
        assert "Task \x1b[96m'train-autoencoder'\x1b[0m" not in log
        assert read_record(root)["status"] == "failed"


def test_what_a_step_loads_needs_nothing_but_tmp(image: str) -> None:
    script = """
import os, pathlib
os.environ["_KFP_RUNTIME"] = "true"  # as the command of every step says
import kfp.dsl.executor_main, matplotlib.pyplot as plt, tensorflow as tf
import aegan.stages.evaluate, aegan.stages.publish, aegan.stages.train_gan
plt.plot([1, 2]); plt.savefig("/tmp/figure.png")
assert tf.reduce_sum(tf.ones(3)).numpy() == 3
print(os.getuid(), os.getgid(), pathlib.Path.home(), os.getcwd())
"""
    done = run(image, "python", "-W", "error::UserWarning", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*USER.split(":"), "/tmp", "/tmp"]
    assert "Fontconfig" not in done.stderr
    for place in ("/opt/aegan", "/var/tmp", "/root", "/home", "/"):
        assert run(image, "touch", f"{place}/written").returncode != 0


def test_the_command_line_works_in_the_image(image: str) -> None:
    assert printed(image, "aegan", "--version").endswith(aegan.__version__)
    checks = json.loads(run(image, "aegan", "doctor", "--json", "--root", "/tmp/root").stdout)
    found = {check["name"]: check["status"] for check in _checks(checks)}
    assert found["packages [train]"] == "ok"
    assert "fail" not in found.values()


def _checks(told: Any) -> list[dict[str, Any]]:
    return list(told["checks"] if isinstance(told, dict) else told)


def test_the_command_line_image_compiles(cli_image: str) -> None:
    done = run(
        cli_image,
        "sh",
        "-c",
        "aegan compile digits -o /tmp/p.yaml --root gs://b/r && cat /tmp/p.yaml",
    )
    assert done.returncode == 0, done.stderr
    spec = next(yaml.safe_load_all(done.stdout))
    assert spec["pipelineInfo"]["name"] == "aegan-digits"


def test_the_command_line_image_watches(
    cli_image: str, network: tuple[str, str], bucket: str, tmp_path: Path
) -> None:
    """As the CronJob of manifests/components/watch does."""
    name, gateway = network
    open_store(bucket).write("data/a.npy", b"x" * 100)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tiny(data={"source": f"{bucket}/data"})), "utf-8")
    with KfpServer(gateway) as server:
        server.runs.executes = False
        places = (f"--root={bucket}/out", f"--host={server.url}")
        watch = ["aegan", "watch", "/etc/config.yaml", *places]
        options = (f"--volume={config}:/etc/config.yaml:ro", "--env", "STORAGE_EMULATOR_HOST")
        for _ in range(2):
            done = run(cli_image, *watch, network=name, options=options)
            assert done.returncode == 0, done.stderr
        assert len(server.runs.items) == 1
