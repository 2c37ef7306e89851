"""What is compiled for a cluster, read back and checked against Kubeflow's own messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines.cli import main
from aegan_pipelines.pipeline import compile_package
from aegan_pipelines.platforms import check_root
from click.testing import CliRunner

from aegan.compute_steps import TRAINING_STEPS
from aegan.config_compute import STEPS
from aegan.config_file import validate
from aegan.errors import ConfigError
from tests.conftest import tiny
from tests.kubernetes_objects import violations
from tests.packages import VOLUMES, compiled, compiled_sweep, containers, pod, started, tasks

PARAMETERS = {"image", "accelerator", "accelerator_count", "data_source"}
# The fields that say nothing of a pod's security, but for the first; host paths cannot be said at all.
OTHERS = {
    "securityContext",
    "nodeSelector",
    "tolerations",
    "imagePullSecret",
    "secretAsEnv",
    "activeDeadlineSeconds",
}
GKE_SPOT = {
    "key": "cloud.google.com/gke-spot",
    "operator": "Equal",
    "value": "true",
    "effect": "NoSchedule",
}
EVERYTHING = {
    "preset": "gke-l4",
    "spot": True,
    "cpu": "6",
    "memory": "20Gi",
    "node_selector": {"pool": "ml"},
    "tolerations": [
        {"key": "team", "value": "ml", "effect": "NoExecute", "seconds": 60},
        {"operator": "Exists"},
    ],
    "shared_memory": "2Gi",
    "disk": {"size": "50Gi"},
    "image_pull_secrets": ["registry"],
    "environment": {"GOOGLE_APPLICATION_CREDENTIALS": "/secrets/key/key.json"},
    "secrets": [
        {"name": "key", "mount_path": "/secrets/key"},
        {"name": "tokens", "environment": {"TOKEN": "a", "SAME_TOKEN": "a"}},
    ],
    "volumes": [{"claim": "outputs", "mount_path": "/mnt/aegan"}],
    "timeout_seconds": 7200,
    "retries": 5,
    "workspace": {"size": "30Gi", "storage_class": "fast", "access_modes": ["ReadWriteOnce"]},
    "stages": {
        "evaluate": {"accelerator_count": 1, "image": "aegan:other-1"},
        "record": {"disk": {"size": "5Gi", "storage_class": "fast"}, "memory": "3Gi"},
    },
}


def refused(compute: dict[str, Any], platform: Any, root: str | None = "gs://b/r") -> str:
    with pytest.raises(ConfigError) as caught:
        compile_package(validate(tiny(compute=compute), "test"), Path("never.yaml"), root, platform)
    return str(caught.value)


def test_what_a_run_may_set_is_text_with_the_configurations_values(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, {"preset": "nvidia", "image": "aegan:1", "accelerator_count": 2})
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {item["parameterType"] for item in parameters.values()} == {"STRING"}
    defaults = {name: parameters[name]["defaultValue"] for name in PARAMETERS}
    assert defaults == {
        "image": "aegan:1",
        "accelerator": "nvidia.com/gpu",
        "accelerator_count": "2",
        "data_source": "",
    }
    assert all(item["description"] for item in parameters.values())


def test_the_parameters_reach_the_pods_through_every_group(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path)
    pods = started(spec)
    assert {pod["image"] for pod in pods.values()} == {"aegan/aegan-python:0.1.0"}
    assert pods["train_gan"]["resourceCount"] == "0"
    given = {"image": "aegan:gpu-2", "accelerator": "amd.com/gpu", "accelerator_count": "4"}
    pods = started(spec, **given, data_source="gs://bucket/new.npz")
    assert set(pods) == set(STEPS)
    assert {pod["image"] for pod in pods.values()} == {"aegan:gpu-2"}
    # All steps see one configuration: what a run sets goes to each of them.
    assert {pod["data_source"] for pod in pods.values()} == {"gs://bucket/new.npz"}
    assert {pod["num_accelerators"] for pod in pods.values()} == {"4"}
    asked = {
        name: (p["resourceType"], p["resourceCount"]) for name, p in pods.items() if len(p) > 3
    }
    assert asked == dict.fromkeys(("train_autoencoder", "train_gan"), ("amd.com/gpu", "4"))


def test_what_a_step_has_of_its_own_is_not_changed_by_a_run(tmp_path: Path) -> None:
    stages = {
        "train_gan": {"accelerator_count": 2, "accelerator": "amd.com/gpu"},
        "train_autoencoder": {"accelerator_count": 0},
        "evaluate": {"accelerator_count": 1, "image": "aegan:own-1"},
    }
    spec, _ = compiled(tmp_path, {"stages": stages})
    pods = started(spec, image="aegan:2", accelerator="nvidia.com/gpu", accelerator_count="8")
    gan, evaluate = pods["train_gan"], pods["evaluate"]
    assert (gan["resourceType"], gan["resourceCount"]) == ("amd.com/gpu", "2")
    assert (evaluate["resourceType"], evaluate["resourceCount"]) == ("nvidia.com/gpu", "1")
    assert evaluate["image"] == "aegan:own-1"
    assert "resourceCount" not in pods["train_autoencoder"]


def test_no_step_takes_an_artifact_which_a_pod_would_copy_to_its_disk(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, EVERYTHING)
    steps = [c for c in spec["components"].values() if "executorLabel" in c]
    assert len(steps) == len(STEPS)
    assert not any("artifacts" in c.get("inputDefinitions", {}) for c in steps)


def test_no_count_is_compiled_as_a_number_alone(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, EVERYTHING)
    asked = [c["resources"].get("accelerator") for c in containers(spec).values()]
    assert len([item for item in asked if item]) == 3
    assert all(isinstance(item["resourceCount"], str) for item in asked if item)
    assert all(isinstance(item["resourceType"], str) for item in asked if item)


def test_everything_that_is_set_is_in_every_pod(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path, EVERYTHING)
    assert set(pods) == {*STEPS, "pipeline"}
    for name in STEPS:
        container, pod, task = containers(spec)[name], pods[name], tasks(spec)[name]
        assert container["resources"]["resourceCpuLimit"] == "6"
        assert container["resources"]["resourceCpuRequest"] == "6"
        assert container["resources"]["resourceMemoryLimit"] == (
            "3Gi" if name == "record" else "20Gi"
        )
        environment = {item["name"]: item["value"] for item in container["env"]}
        assert environment == EVERYTHING["environment"] | {"TMPDIR": "/scratch"}
        assert pod["activeDeadlineSeconds"] == "7200"
        assert pod["imagePullSecret"][0]["secretName"] == "registry"
        assert pod["secretAsVolume"][0]["mountPath"] == "/secrets/key"
        variables = [(s["secretName"], s["keyToEnv"]) for s in pod["secretAsEnv"]]
        assert variables == [
            ("tokens", [{"secretKey": "a", "envVar": "TOKEN"}]),
            ("tokens", [{"secretKey": "a", "envVar": "SAME_TOKEN"}]),
        ]
        assert pod["nodeSelector"]["labels"]["pool"] == "ml"
        assert pod["tolerations"] == [
            {
                "key": "team",
                "operator": "Equal",
                "value": "ml",
                "effect": "NoExecute",
                "tolerationSeconds": "60",
            },
            {"operator": "Exists"},
            *([GKE_SPOT] if name in TRAINING_STEPS else []),
        ]
        (claim,) = pod["pvcMount"]
        assert (claim["constant"], claim["mountPath"]) == ("outputs", "/mnt/aegan")
        assert pod["emptyDirMounts"][0] == {
            "volumeName": "aegan-shm",
            "mountPath": "/dev/shm",
            "medium": "Memory",
            "sizeLimit": "2Gi",
        }
        assert task["retryPolicy"]["maxRetryCount"] == 5
        assert task["retryPolicy"]["backoffMaxDuration"] == "604800s"
    assert pods["evaluate"]["emptyDirMounts"][1] == {
        "volumeName": "aegan-scratch",
        "mountPath": "/scratch",
        "sizeLimit": "50Gi",
    }
    claimed = pods["record"]["genericEphemeralVolume"][0]
    assert (claimed["mountPath"], claimed["size"]) == ("/scratch", "5Gi")
    assert claimed["storageClassName"] == "fast"
    assert claimed["accessModes"] == ["ReadWriteOnce"]
    assert pods["pipeline"]["workspace"] == {
        "size": "30Gi",
        "kubernetes": {
            "pvcSpecPatch": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"]}
        },
    }


def test_only_training_is_placed_on_the_gpu_nodes_of_a_preset(tmp_path: Path) -> None:
    _, pods = compiled(tmp_path, {"preset": "gke-h100"})
    placed = {name for name in STEPS if "nodeSelector" in pods[name]}
    assert placed == {"train_autoencoder", "train_gan"}
    labels = pods["train_gan"]["nodeSelector"]["labels"]
    assert labels == {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}


@pytest.mark.parametrize("compute", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("package", [compiled, compiled_sweep])
def test_pod_security_restricted_admits_every_pod(
    package: Any, compute: dict[str, Any], tmp_path: Path
) -> None:
    """As far as the package says what a pod is: Kubeflow's share is that of its source."""
    spec, pods = package(tmp_path, compute)
    assert set(containers(spec)) == set(pods) - {"pipeline"}
    assert len(containers(spec)) >= len(STEPS)
    for name in containers(spec):
        assert violations(pod(name, pods[name])) == []
        assert set(pods[name]) <= VOLUMES.keys() | OTHERS


def test_a_pod_that_may_run_as_root_would_not_be_admitted(tmp_path: Path) -> None:
    _, pods = compiled(tmp_path)
    del pods["train_gan"]["securityContext"]
    assert violations(pod("main", pods["train_gan"])) == ["main: runAsNonRoot must be true"]


def test_the_image_has_a_numeric_user_that_is_not_root() -> None:
    """Kubernetes admits `runAsNonRoot` by the number alone: it cannot look up a name."""
    lines = (Path(__file__).parents[2] / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    *_, user = [line.removeprefix("USER ") for line in lines if line.startswith("USER ")]
    assert int(user.split(":")[0]) > 0


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("gke-l4", "NVIDIA_L4"),
        ("gke-a100", "NVIDIA_TESLA_A100"),
        ("gke-a100-80gb", "NVIDIA_A100_80GB"),
        ("gke-h100", "NVIDIA_H100_80GB"),
    ],
)
def test_a_package_for_vertex_is_one_document_with_its_accelerators(
    preset: str, name: str, tmp_path: Path
) -> None:
    spec, pods = compiled(tmp_path, {"preset": preset, "environment": {"A": "b"}}, "vertex")
    assert pods == {}
    resources = {step: c["resources"] for step, c in containers(spec).items()}
    asked = {step for step, found in resources.items() if "accelerator" in found}
    assert asked == {"train_autoencoder", "train_gan"}
    accelerator = resources["train_gan"]["accelerator"]
    # Vertex AI reads the older two.
    assert (accelerator["type"], accelerator["count"]) == (name, "1")
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == (name, "1")
    assert {c["image"] for c in containers(spec).values()} == {"aegan/aegan-python:0.1.0"}
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {"root", "config", "fresh", "data_source"}


def test_vertex_takes_an_accelerator_by_its_own_name(tmp_path: Path) -> None:
    compute = {"accelerator": "NVIDIA_TESLA_T4", "accelerator_count": 2}
    spec, _ = compiled(tmp_path, compute, "vertex")
    assert containers(spec)["train_gan"]["resources"]["accelerator"]["type"] == "NVIDIA_TESLA_T4"


@pytest.mark.parametrize(
    ("compute", "line"),
    [
        (
            {"node_selector": {"a": "b"}},
            "compute.node_selector: Vertex AI chooses machines by cores, memory and accelerator, not by"
            " labels of nodes; leave it out",
        ),
        ({"tolerations": [{"key": "a"}]}, "compute.tolerations: Vertex AI has no taints"),
        (
            {"preset": "gke-l4", "spot": True},
            "compute.spot: a package cannot ask Vertex AI for Spot",
        ),
        ({"shared_memory": "1Gi"}, "compute.shared_memory: Vertex AI sets the size of /dev/shm"),
        ({"disk": {"size": "1Gi"}}, "compute.disk: a package cannot ask Vertex AI for a volume"),
        (
            {"image_pull_secrets": ["a"]},
            "compute.image_pull_secrets: Vertex AI pulls images with its own identity; keep the image"
            " in Artifact Registry",
        ),
        (
            {"secrets": [{"name": "a", "mount_path": "/a"}]},
            "compute.secrets: Vertex AI has no Kubernetes Secrets; leave it out; the run's service",
        ),
        (
            {"volumes": [{"claim": "a", "mount_path": "/a"}]},
            "compute.volumes: the volumes are Kubernetes claims; leave it out",
        ),
        ({"timeout_seconds": 5}, "compute.timeout_seconds: the limit is one of a Kubernetes pod"),
        ({"workspace": {"size": "1Gi"}}, "compute.workspace: the volume is a Kubernetes claim"),
        (
            {"stages": {"evaluate": {"timeout_seconds": 5}}},
            "compute.stages.evaluate.timeout_seconds: the limit is one of a Kubernetes pod",
        ),
        (
            {"accelerator_count": 1},
            "compute.accelerator: Vertex AI has its own names of accelerators; expected one of"
            " NVIDIA_TESLA_P100",
        ),
        (
            {"stages": {"evaluate": {"accelerator": "a/b", "accelerator_count": 1}}},
            "compute.stages.evaluate.accelerator: Vertex AI has its own names of accelerators",
        ),
    ],
)
def test_what_vertex_cannot_do_is_refused_with_the_reason(
    compute: dict[str, Any], line: str
) -> None:
    message = refused(compute, "vertex")
    assert message.startswith("this configuration cannot be compiled for Vertex AI:")
    assert line in message
    assert len(message.splitlines()) == 2


def test_everything_that_vertex_cannot_do_is_said_at_once() -> None:
    message = refused(EVERYTHING, "vertex", "/data/root")
    assert len(message.splitlines()) == 13
    assert "--root: steps on Vertex AI share no file system, received '/data/root'" in message


@pytest.mark.parametrize(
    ("root", "compute", "line"),
    [
        (None, {}, "no root was given; expected --root gs://bucket/path"),
        ("runs", {}, "--root runs: pods do not share your folder; expected --root gs://bucket"),
        (
            "/mnt/aegan",
            {},
            "--root /mnt/aegan: no volume is mounted there in normalize, train_auto",
        ),
        (
            "/mnt/aegan",
            {
                "volumes": [{"claim": "outputs", "mount_path": "/mnt"}],
                "stages": {"publish": {"volumes": []}},
            },
            "--root /mnt/aegan: no volume is mounted there in publish; give --root gs://",
        ),
        (
            "/mnt/../etc",
            {"volumes": [{"claim": "outputs", "mount_path": "/mnt"}]},
            "no volume is mounted there in",
        ),
    ],
)
def test_a_root_that_pods_cannot_reach_is_refused(root: Any, compute: Any, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_root(validate(tiny(compute=compute), "test"), root)
    assert line in str(caught.value)


def test_a_root_may_be_a_folder_in_a_claim_that_every_step_mounts(tmp_path: Path) -> None:
    volumes = [{"claim": "outputs", "mount_path": "/mnt"}]
    config = validate(tiny(compute={"volumes": volumes}), "test")
    assert check_root(config, "/mnt/aegan") == "/mnt/aegan"
    assert check_root(config, "/mnt") == "/mnt"
    package = str(tmp_path / "p.yaml")
    command = ["compile", "digits", "--root", "/mnt/aegan", "-o", package]
    done = CliRunner().invoke(main, command)
    assert "no volume is mounted there" in done.stderr
    assert (
        CliRunner().invoke(main, [*command, "--set", f"compute.volumes={volumes}"]).exit_code == 0
    )


def test_kubeflow_takes_no_accelerator_by_vertexs_name() -> None:
    message = refused({"accelerator": "NVIDIA_L4", "accelerator_count": 1}, "kubeflow")
    assert "compute.accelerator: Kubeflow takes the resource name" in message
    assert "received 'NVIDIA_L4'; the model of a GPU is chosen by compute.preset" in message


def test_the_command_compiles_for_either_platform(tmp_path: Path) -> None:
    command = ["compile", "digits", "--root", "gs://b/r", "--set", "compute.preset=gke-l4", "-o"]
    for platform, documents in (("kubeflow", 2), ("vertex", 1)):
        package = tmp_path / f"{platform}.yaml"
        account = ["--set", "compute.service_account=trainer"]
        done = CliRunner().invoke(main, [*command, str(package), "--platform", platform, *account])
        assert done.exit_code == 0, done.output
        assert len(list(yaml.safe_load_all(package.read_text("utf-8")))) == documents
        assert "give trainer to its runs and schedules" in done.stderr


def test_the_cluster_guides_settings_compile(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text("utf-8")
    (block,) = [b for b in text.split("```yaml\n") if b.startswith("compute:")]
    compute = yaml.safe_load(block.split("```")[0])["compute"]
    spec, pods = compiled(tmp_path, compute)
    assert started(spec, accelerator_count="4")["train_gan"]["resourceCount"] == "2"
    assert pods["train_gan"]["activeDeadlineSeconds"] == "86400"


def test_a_refused_package_is_not_written(tmp_path: Path) -> None:
    package = tmp_path / "p.yaml"
    command = ["compile", "digits", "-o", str(package), "--platform", "vertex"]
    done = CliRunner().invoke(main, [*command, "--set", "compute.timeout_seconds=5"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: this configuration cannot be compiled")
    assert not package.exists()


def test_all_caching_can_be_switched_off(tmp_path: Path) -> None:
    for caching, expected in (
        (True, {"train_autoencoder", "train_gan", "evaluate"}),
        (False, set()),
    ):
        spec, _ = compiled(tmp_path, {"caching": caching})
        found = tasks(spec).items()
        cached = {name for name, task in found if task["cachingOptions"].get("enableCache")}
        assert cached == expected
