"""What each step gets: presets, overrides by step, and what makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from aegan.compute_presets import PRESETS
from aegan.compute_steps import TRAINING_STEPS, Step, step_of
from aegan.config_compute import STEPS, PresetName
from aegan.config_file import from_json, load_config, validate, with_parameters
from aegan.config_types import Toleration
from aegan.errors import ConfigError
from aegan.stages.stage import dataset_key, run_key, stage_keys
from tests.conftest import tiny


def steps(compute: dict[str, Any]) -> dict[str, Step]:
    section = validate(tiny(compute=compute), "test").compute
    return {name: step_of(section, name) for name in STEPS}


def refused(compute: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(tiny(compute=compute), "test")
    return str(caught.value)


def test_without_settings_every_step_gets_the_defaults() -> None:
    for name, step in steps({}).items():
        assert (step.cpu, step.memory, step.retries, step.accelerator_count) == ("2", "8Gi", 3, 0)
        assert step.caching == (name in ("train_autoencoder", "train_gan", "evaluate"))
        assert not step.node_selector
        assert not step.tolerations


def test_accelerators_are_for_training_unless_a_step_says_otherwise() -> None:
    found = steps(
        {
            "accelerator_count": 2,
            "stages": {"train_gan": {"accelerator_count": 0}, "evaluate": {"accelerator_count": 1}},
        }
    )
    counts = {name: step.accelerator_count for name, step in found.items()}
    assert counts == dict.fromkeys(STEPS, 0) | {"train_autoencoder": 2, "evaluate": 1}


@pytest.mark.parametrize(
    ("preset", "label"),
    [
        ("gke-l4", "nvidia-l4"),
        ("gke-a100", "nvidia-tesla-a100"),
        ("gke-a100-80gb", "nvidia-a100-80gb"),
        ("gke-h100", "nvidia-h100-80gb"),
        ("nvidia", None),
    ],
)
def test_a_preset_places_training_on_the_nodes_that_have_the_gpu(
    preset: str, label: str | None
) -> None:
    selector = {} if label is None else {"cloud.google.com/gke-accelerator": label}
    for name, step in steps({"preset": preset}).items():
        training = name in TRAINING_STEPS
        assert step.accelerator_count == (1 if training else 0)
        assert step.node_selector == (selector if training else {})
        assert [t.key for t in step.tolerations] == (["nvidia.com/gpu"] if training else [])
        assert step.accelerator == "nvidia.com/gpu"


def test_every_preset_can_be_named() -> None:
    assert set(PRESETS) == set(PresetName.__args__)


def test_what_is_set_comes_before_the_preset() -> None:
    explicit = {
        "preset": "gke-l4",
        "accelerator_count": 2,
        "accelerator": "example.com/gpu",
        "cpu": "6",
        "shared_memory": "4Gi",
        "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb", "pool": "gpu"},
        "tolerations": [],
    }
    step = steps(explicit)["train_gan"]
    assert (step.accelerator_count, step.accelerator) == (2, "example.com/gpu")
    assert (step.cpu, step.memory, step.shared_memory) == ("6", "10Gi", "4Gi")
    assert step.node_selector == explicit["node_selector"]
    assert step.tolerations == ()


def test_a_preset_without_accelerators_leaves_training_where_the_other_steps_are() -> None:
    found = steps({"preset": "gke-l4", "accelerator_count": 0})
    assert found["train_gan"] == found["evaluate"]


def test_mappings_are_merged_key_by_key_and_everything_else_is_replaced() -> None:
    taints = [{"key": "a", "operator": "Exists"}, {"key": "b", "value": "c"}]
    found = steps(
        {
            "node_selector": {"pool": "cpu", "zone": "a"},
            "environment": {"A": "1", "B": "2"},
            "tolerations": taints,
            "secrets": [{"name": "one", "mount_path": "/secrets/one"}],
            "image_pull_secrets": ["registry"],
            "disk": {"size": "10Gi", "storage_class": "fast"},
            "timeout_seconds": 3600,
            "stages": {
                "train_gan": {
                    "image": "aegan:gpu-1",
                    "node_selector": {"pool": "gpu"},
                    "environment": {"B": "3"},
                    "tolerations": taints[:1],
                    "secrets": [{"name": "two", "environment": {"TOKEN": "token"}}],
                    "image_pull_secrets": [],
                    "disk": {"size": "20Gi"},
                    "timeout_seconds": 60,
                    "retries": 0,
                    "caching": False,
                }
            },
        }
    )
    step, other = found["train_gan"], found["train_autoencoder"]
    assert step.node_selector == {"pool": "gpu", "zone": "a"}
    assert step.environment == {"A": "1", "B": "3"}
    assert step.tolerations == (Toleration(key="a", operator="Exists"),)
    assert [secret.name for secret in step.secrets] == ["two"]
    assert step.image_pull_secrets == ()
    assert step.disk is not None
    assert (step.disk.size, step.disk.storage_class) == ("20Gi", None)
    assert (step.image, step.timeout_seconds, step.retries) == ("aegan:gpu-1", 60, 0)
    assert not step.caching
    assert other.node_selector == {"pool": "cpu", "zone": "a"}
    assert (other.timeout_seconds, other.retries, other.caching) == (3600, 3, True)


def test_spot_is_for_training_and_for_the_steps_that_say_so() -> None:
    stages = {"train_gan": {"spot": False}, "evaluate": {"spot": True}}
    found = steps({"preset": "gke-l4", "spot": True, "stages": stages})
    label = "cloud.google.com/gke-spot"
    on_spot = {name for name, step in found.items() if label in step.node_selector}
    tolerant = {name for name, step in found.items() if label in [t.key for t in step.tolerations]}
    assert on_spot == tolerant == {"train_autoencoder", "evaluate"}


def test_spot_nodes_are_tolerated_whatever_else_is() -> None:
    taint = {"key": "team", "operator": "Exists"}
    found = steps({"preset": "gke-l4", "spot": True, "tolerations": [taint]})
    keys = [toleration.key for toleration in found["train_gan"].tolerations]
    assert keys == ["team", "cloud.google.com/gke-spot"]


def test_volumes_are_those_of_a_step_or_else_of_all() -> None:
    found = steps(
        {
            "volumes": [{"claim": "outputs", "mount_path": "/mnt/aegan"}],
            "stages": {"normalize": {"volumes": [{"claim": "raw", "mount_path": "/raw"}]}},
        }
    )
    claims = {name: [volume.claim for volume in step.volumes] for name, step in found.items()}
    assert claims == {name: ["outputs"] for name in STEPS} | {"normalize": ["raw"]}


def test_caching_can_be_switched_off() -> None:
    assert not any(step.caching for step in steps({"caching": False}).values())


@pytest.mark.parametrize(
    ("compute", "line"),
    [
        (
            {"stages": {"train": {"cpu": "4"}}},
            "compute.stages.train: input should be 'normalize', 'train_autoencoder', 'train_gan',"
            " 'evaluate', 'publish' or 'record', received 'train' (str)",
        ),
        (
            {"stages": {"train_gan": {"service_account": "x"}}},
            "compute.stages.train_gan.service_account: no such setting; expected one of image, cpu",
        ),
        ({"tolerations": [{"kee": "a"}]}, "compute.tolerations.0.kee: no such setting; expected"),
        (
            {"tolerations": [{"value": "a"}]},
            "compute.tolerations.0: without a `key` it tolerates every taint and needs `operator:",
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            "compute.tolerations.0: `operator: Exists` goes with every value; leave `value` out",
        ),
        (
            {"tolerations": [{"key": "a", "seconds": 5}]},
            "compute.tolerations.0: `seconds` means something with `effect: NoExecute` only",
        ),
        (
            {"secrets": [{"name": "key"}]},
            "compute.secrets.0: give `environment` (variable: key), `mount_path` or both",
        ),
        (
            {"secrets": [{"name": "a", "mount_path": "/a"}, {"name": "a", "mount_path": "/b"}]},
            "compute.secrets: mounts the secret 'a' 2 times; keep one of them",
        ),
        (
            {
                "secrets": [
                    {"name": "a", "environment": {"KEY": "k"}},
                    {"name": "b", "environment": {"KEY": "k"}},
                ]
            },
            "compute.secrets: sets the variable 'KEY' 2 times",
        ),
        (
            {"stages": {"publish": {"caching": True}}},
            "`publish.caching: true`: this step has effects that a cache would skip",
        ),
        (
            {"spot": True},
            "compute: `spot: true` needs a preset that knows how the cluster marks such nodes"
            " (gke-l4, gke-a100, gke-a100-80gb, gke-h100), received None; elsewhere give"
            " `node_selector` and `tolerations` instead",
        ),
        (
            {"preset": "nvidia", "stages": {"train_gan": {"spot": True}}},
            "compute: `stages.train_gan.spot: true` needs a preset",
        ),
        ({"preset": "gke-t4"}, "compute.preset: input should be 'gke-l4', 'gke-a100'"),
        ({"memory": "1.5Gi"}, "compute.memory: expected an amount of memory such as 8Gi"),
        ({"shared_memory": "0"}, "compute.shared_memory: expected an amount of memory"),
        (
            {"environment": {"1A": "x"}},
            "compute.environment.1A: expected the name of an environment",
        ),
        ({"environment": {"A": 1}}, "compute.environment.A: input should be a valid string"),
        (
            {"image_pull_secrets": ["a.b"]},
            "compute.image_pull_secrets.0: expected a Kubernetes name",
        ),
        ({"service_account": "a b"}, "compute.service_account: expected a service account"),
        ({"stages": {"evaluate": {"image": "aegan"}}}, "'aegan' names no fixed version"),
        ({"timeout_seconds": 0}, "compute.timeout_seconds: input should be greater than or equal"),
        ({"node_selector": {"a b": "x"}}, "compute.node_selector.a b: expected the key of a label"),
        ({"node_selector": {"a": "x y"}}, "compute.node_selector.a: expected the value of a label"),
        (
            {"shared_memory": "16Gi"},
            "compute.shared_memory: is part of the step's `memory` and must be less, received 16Gi of",
        ),
        (
            {"shared_memory": "4G", "stages": {"publish": {"memory": "4000M"}}},
            "is part of the step's `memory` and must be less, received 4G of 4000M",
        ),
        (
            {"disk": {"size": "1Gi"}, "secrets": [{"name": "a", "mount_path": "/scratch/"}]},
            "compute.secrets: cannot be mounted at /scratch, where `disk` is mounted already",
        ),
        (
            {
                "shared_memory": "1Gi",
                "stages": {"evaluate": {"secrets": [{"name": "aegan-shm", "mount_path": "/a"}]}},
            },
            "compute.stages.evaluate.secrets: the name 'aegan-shm' is that of a volume of `shared_",
        ),
        (
            {
                "environment": {"KEY": "x"},
                "secrets": [{"name": "a", "environment": {"KEY": "k"}}],
            },
            "compute.secrets: sets the variable KEY, as `environment` does; keep one of them",
        ),
        (
            {
                "secrets": [{"name": "a", "mount_path": "/data"}],
                "volumes": [{"claim": "data", "mount_path": "/data"}],
            },
            "compute.volumes: cannot be mounted at /data, where `secrets` is mounted already",
        ),
        (
            {"volumes": [{"claim": "a", "mount_path": "/tmp"}]},
            "compute.volumes: cannot be mounted at /tmp, where steps have files of their own",
        ),
        (
            {"volumes": [{"claim": "a", "mount_path": "/a"}, {"claim": "a", "mount_path": "/b"}]},
            "compute.volumes: mounts the claim 'a' 2 times; keep one of them",
        ),
        ({"volumes": [{"claim": "a"}]}, "compute.volumes.0.mount_path: required and missing"),
    ],
)
def test_what_no_cluster_can_do_is_refused(compute: dict[str, Any], line: str) -> None:
    assert line in refused(compute)


def test_overrides_of_a_step_can_be_set_on_the_command_line() -> None:
    config = load_config(
        "digits",
        ["compute.stages.train_gan.memory=7Gi", "compute.preset=gke-h100", "compute.memory=5Gi"],
    )
    assert step_of(config.compute, "train_gan").memory == "7Gi"
    assert step_of(config.compute, "train_autoencoder").memory == "5Gi"


def test_a_preset_survives_the_passage_between_steps() -> None:
    config = validate(tiny(compute={"preset": "gke-a100", "accelerator_count": 4}), "test")
    assert from_json(config.to_json()) == config


def test_no_key_depends_on_where_a_model_is_trained() -> None:
    stages = {"train_gan": {"accelerator_count": 4}}
    here, there = (
        validate(tiny(compute=compute), "test")
        for compute in ({}, {"preset": "gke-a100", "stages": stages})
    )
    assert run_key(here, "data") == run_key(there, "data")
    assert dataset_key(here, "data") == dataset_key(there, "data")
    assert dataset_key(here, "data") != dataset_key(here, "other data")
    assert stage_keys(here, "dataset") == stage_keys(there, "dataset")


def test_a_runs_parameters_stand_in_its_configuration() -> None:
    text = validate(tiny(compute={"preset": "gke-l4"}), "test").to_json()
    assert with_parameters(text, "", "") == text
    changed = from_json(with_parameters(text, "gs://bucket/data.npz", "2"))
    assert changed.data.source == "gs://bucket/data.npz"
    assert step_of(changed.compute, "train_gan").accelerator_count == 2
    assert step_of(from_json(with_parameters(text, "", "0")).compute, "train_gan") == step_of(
        from_json(text).compute, "evaluate"
    )


@pytest.mark.parametrize("count", ["-1", "1.0", "one", "²"])
def test_a_count_that_is_no_whole_number_is_refused(count: str) -> None:
    text = validate(tiny(), "test").to_json()
    with pytest.raises(ConfigError, match="expected a whole number as text, such as '1'"):
        with_parameters(text, "", count)
