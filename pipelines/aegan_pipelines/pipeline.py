"""The pipeline: normalize → train_autoencoder → train_gan → evaluate → publish if the gate passed.

Steps hand each other URIs as strings, not artifacts: a URI here is derived from everything that went
into its contents, so Kubeflow's cache, which compares parameter values and artifact ids but never
bytes, hits exactly when the inputs are the same. Artifacts are written beside them for lineage.
"""

# No `from __future__ import annotations` here: kfp reads the annotations' values.
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aegan_components.evaluate import evaluate
from aegan_components.normalize import normalize
from aegan_components.publish import publish
from aegan_components.record import record
from aegan_components.train_autoencoder import train_autoencoder
from aegan_components.train_gan import train_gan
from kfp import compiler, dsl

from aegan.config import Config

CACHED = {
    "normalize": False,  # it must look at the source, whose bytes no cache key shows
    "train_autoencoder": True,
    "train_gan": True,
    "evaluate": True,
    "publish": False,  # it moves the alias
    "record": False,
}
# Argo counts the limit from the first attempt and then fails the running pod: make it days.
BACKOFF = {"backoff_duration": "60s", "backoff_factor": 2.0, "backoff_max_duration": "604800s"}


def build(config: Config, root: str | None = None) -> Callable[..., Any]:
    """The pipeline of a configuration, ready to compile.

    Args:
        config: goes into the package as the default of the parameter `config`.
        root: default of the parameter `root`; None makes the parameter required.

    The package's third parameter, `fresh`, is empty; a run that sets it to a new text computes every
    stage anew.
    """

    def body(config: str, root: str, fresh: str) -> None:
        run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        where = {"config": config, "root": root}
        with dsl.ExitHandler(_set(record(**where, run_id=run_id)), name="train-and-publish"):
            work = where | {"fresh": fresh}
            data = _set(normalize(**work, run_id=run_id))
            inputs = {"dataset_uri": data.outputs["Output"]}
            encoded = _set(train_autoencoder(**work, **inputs))
            inputs["autoencoder_uri"] = encoded.outputs["Output"]
            generated = _set(train_gan(**work, **inputs))
            inputs["gan_uri"] = generated.outputs["Output"]
            judged = _set(evaluate(**work, **inputs))
            inputs["evaluation_uri"] = judged.outputs["evaluation_uri"]
            with dsl.If(judged.outputs["Output"] == "passed", name="passed-the-gate"):
                _set(publish(**work, **inputs))

    def _set(task: Any) -> Any:
        return _set_compute(task, settings)

    settings, text = config, config.to_json()

    def pipeline(root: str, config: str, fresh: str) -> None:
        body(config, root, fresh)

    # Defaults of the last parameters; without a root, its parameter is required.
    pipeline.__defaults__ = (text, "") if root is None else (root, text, "")
    named = dsl.pipeline(
        name=f"aegan-{config.name}",
        description="Train an autoencoder and a GAN, evaluate them, publish the better.",
    )
    return named(pipeline)  # type: ignore[no-any-return]


def compile_package(config: Config, output: Path, root: str | None = None) -> None:
    """Write the package (YAML) that a cluster and the local runner take."""
    compiler.Compiler().compile(build(config, root), str(output))


def _set_compute(task: Any, config: Config) -> Any:
    compute, name = config.compute, task.name
    stage = name.replace("-", "_")
    task.set_container_image(compute.image)
    task.set_caching_options(CACHED[stage])
    task.set_cpu_limit(compute.cpu).set_memory_limit(compute.memory)
    task.set_cpu_request(compute.cpu).set_memory_request(compute.memory)
    if stage.startswith("train_") and compute.accelerator_count:
        task.set_accelerator_type(compute.accelerator)
        task.set_accelerator_limit(compute.accelerator_count)
    return task.set_retry(compute.retries, **BACKOFF)
