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
from aegan_pipelines.compute import pipeline_config, set_compute
from aegan_pipelines.platforms import Platform, check_platform

Settle = Callable[[Any], Any]


def build(
    config: Config, root: str | None = None, platform: Platform = "kubeflow"
) -> Callable[..., Any]:
    """The pipeline of a configuration, ready to compile.

    Args:
        config: goes into the package as the default of the parameter `config`.
        root: default of the parameter `root`; None makes the parameter required.
        platform: `kubeflow`, or `vertex` for a package of one document, whose image and accelerators
            are fixed: Vertex AI chooses machines by them.

    Raises:
        ConfigError: the platform cannot do what the configuration says.
    """
    check_platform(config, platform, root)
    compute = config.compute
    defaults: tuple[str, ...] = (config.to_json(), "", "")

    def settle(parameters: dict[str, Any]) -> Settle:
        return lambda task: set_compute(task, compute, platform, parameters)

    def vertex(root: str, config: str, fresh: str, data_source: str) -> None:
        """Train an autoencoder and a GAN, evaluate them, publish the better.

        Args:
            root: gs:// path where everything of the project lies.
            config: the configuration, as canonical JSON.
            fresh: empty to reuse what is there; a text never used before to compute all stages anew.
            data_source: where the examples are read from; empty for what the configuration says.
        """
        where = {"config": config, "root": root, "data_source": data_source}
        _steps(where | {"num_accelerators": ""}, fresh, settle({}))

    def kubeflow(
        root: str,
        config: str,
        fresh: str,
        data_source: str,
        image: str,
        accelerator: str,
        accelerator_count: str,
    ) -> None:
        """Train an autoencoder and a GAN, evaluate them, publish the better.

        Args:
            root: gs:// path, or path of a volume, where everything of the project lies.
            config: the configuration, as canonical JSON.
            fresh: empty to reuse what is there; a text never used before to compute all stages anew.
            data_source: where the examples are read from; empty for what the configuration says.
            image: of the steps for which `compute.stages` names no other.
            accelerator: resource name of the accelerators of the training steps.
            accelerator_count: of each training step, a whole number as text.
        """
        where = {"config": config, "root": root, "data_source": data_source}
        # Not named as the resource: kfp overwrites a step's inputs of such names.
        where |= {"num_accelerators": accelerator_count}
        chosen = {
            "image": image,
            "accelerator": accelerator,
            "accelerator_count": accelerator_count,
        }
        _steps(where, fresh, settle(chosen))

    pipeline = vertex if platform == "vertex" else kubeflow
    if platform == "kubeflow":
        defaults += (compute.image, compute.accelerator, str(compute.accelerator_count))
    # Defaults of the last parameters; without a root, its parameter is required.
    pipeline.__defaults__ = defaults if root is None else (root, *defaults)
    named = dsl.pipeline(
        name=f"aegan-{config.name}", pipeline_config=pipeline_config(compute.workspace)
    )
    return named(pipeline)  # type: ignore[no-any-return]


def _steps(where: dict[str, Any], fresh: Any, settle: Settle) -> None:
    """The graph. `where` goes to every step, so that all of them see one configuration."""
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    with dsl.ExitHandler(settle(record(**where, run_id=run_id)), name="train-and-publish"):
        work = where | {"fresh": fresh}
        data = settle(normalize(**work, run_id=run_id))
        inputs = {"dataset_uri": data.outputs["Output"]}
        encoded = settle(train_autoencoder(**work, **inputs))
        inputs["autoencoder_uri"] = encoded.outputs["Output"]
        generated = settle(train_gan(**work, **inputs))
        inputs["gan_uri"] = generated.outputs["Output"]
        judged = settle(evaluate(**work, **inputs))
        inputs["evaluation_uri"] = judged.outputs["evaluation_uri"]
        with dsl.If(judged.outputs["Output"] == "passed", name="passed-the-gate"):
            settle(publish(**work, **inputs, run_id=run_id))


def compile_package(
    config: Config, output: Path, root: str | None = None, platform: Platform = "kubeflow"
) -> None:
    """Write the package (YAML) that the platform and the local runner take; see `build`."""
    compiler.Compiler().compile(build(config, root, platform), str(output))
