"""The pipeline of a sweep: the trials in a loop, a comparison, and what `publish` does with the best.

The loop goes over the numbers of the trials, as text: see `aegan.sweep`. A step of a trial fails only
if it is killed, and one attempt more than `compute.retries` allows finds that its trial has failed. So
the loop comes to its end, and the comparison, which waits for it, runs.
"""

# No `from __future__ import annotations` here: kfp reads the annotations' values.
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aegan_components.compare import compare
from aegan_components.publish import publish
from aegan_components.record_sweep import record_sweep
from aegan_components.trial_step import trial_step
from kfp import compiler, dsl

from aegan.compute_steps import step_of
from aegan.config import Config
from aegan.config_compute import Compute, StepName
from aegan.sweep import Trial, to_text
from aegan_pipelines.compute import pipeline_config, set_compute, set_retries
from aegan_pipelines.platforms import check_platform

TRIAL_STEPS: tuple[StepName, ...] = ("normalize", "train_autoencoder", "train_gan", "evaluate")
OF_THE_BEST = ("dataset_uri", "autoencoder_uri", "gan_uri", "evaluation_uri")


def build(
    config: Config, trials: list[Trial], metric: str, parallelism: int, root: str | None = None
) -> Callable[..., Any]:
    """The pipeline of a sweep, ready to compile.

    Args:
        config: without the grid; goes into the package as the default of the parameter `config`.
        trials: of the grid.
        metric: by which the best is chosen.
        parallelism: trials at the same time.
        root: default of the parameter `root`; None makes the parameter required.

    Raises:
        ConfigError: Kubeflow cannot do what the configuration says.
    """
    check_platform(config, "kubeflow", root)
    compute = config.compute
    numbers = [str(trial.number) for trial in trials]

    def sweep(
        root: str,
        config: str,
        trials: str,
        metric: str,
        fresh: str,
        data_source: str,
        image: str,
        accelerator: str,
        accelerator_count: str,
    ) -> None:
        """Train and evaluate a model for each combination of settings, publish the best.

        Args:
            root: gs:// path, or path of a volume, where everything of the project lies.
            config: the configuration without the grid, as canonical JSON.
            trials: settings of each trial, as JSON; as many as the package was made for.
            metric: by which the best is chosen.
            fresh: empty to reuse what is there; a text never used before to compute all stages anew.
            data_source: where the examples are read from; empty for what the configuration says.
            image: of the steps for which `compute.stages` names no other.
            accelerator: resource name of the accelerators of the training steps.
            accelerator_count: of each training step, a whole number as text.
        """
        chosen = {"image": image, "accelerator": accelerator}
        chosen |= {"accelerator_count": accelerator_count}

        def settle(task: Any, name: StepName, title: str) -> Any:
            set_compute(task, compute, "kubeflow", chosen, name)
            return task.set_display_name(title)

        where = {"config": config, "root": root, "data_source": data_source}
        where |= {"num_accelerators": accelerator_count}
        run = {"run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
        every = run | {"trials": trials}
        last = settle(record_sweep(**where, **every, metric=metric), "record", "record")
        with dsl.ExitHandler(last, name="sweep-and-publish"):
            with dsl.ParallelFor(numbers, name="trials", parallelism=parallelism) as number:
                work = where | every | {"fresh": fresh, "trial": number}
                ended = _trial(work, compute, settle)
            outcomes = dsl.Collected(ended)
            judged = compare(**where, **every, metric=metric, outcomes=outcomes)
            settle(judged, "record", "compare").set_caching_options(False)
            best = {name: judged.outputs[name] for name in OF_THE_BEST}
            with dsl.If(judged.outputs["Output"] == "passed", name="passed-the-gate"):
                config = judged.outputs["best_config"]
                work = where | {"config": config, "fresh": fresh}
                settle(publish(**work, **best, **run), "publish", "publish")

    defaults: tuple[str, ...] = (config.to_json(), to_text(trials), metric, "", "", compute.image)
    defaults += (compute.accelerator, str(compute.accelerator_count))
    # Defaults of the last parameters; without a root, its parameter is required.
    sweep.__defaults__ = defaults if root is None else (root, *defaults)
    named = dsl.pipeline(
        name=f"aegan-{config.name}-sweep", pipeline_config=pipeline_config(compute.workspace)
    )
    return named(sweep)  # type: ignore[no-any-return]


def _trial(
    work: dict[str, Any], compute: Compute, settle: Callable[[Any, StepName, str], Any]
) -> Any:
    """The steps of one trial, one after the other; returns the output of the last."""
    steps: list[Any] = []
    for stage in TRIAL_STEPS:
        attempts = step_of(compute, stage).retries + 1
        step = settle(trial_step(**work, stage=stage, attempts=str(attempts)), stage, stage)
        set_retries(step, attempts)
        # Kubeflow would remember a failure as a result; stages reuse their own outputs.
        step.set_caching_options(False)
        steps.append(step.after(*steps[-1:]))
    return steps[-1].output


def compile_sweep(
    config: Config,
    trials: list[Trial],
    metric: str,
    parallelism: int,
    output: Path,
    root: str | None = None,
) -> None:
    """Write the package (YAML) of a sweep; see `build`."""
    compiler.Compiler().compile(build(config, trials, metric, parallelism, root), str(output))
