"""Runs one pipeline under kfp.local, in a process of its own.

kfp.local prints, logs and configures itself globally, and leaves children behind when it is killed;
in its own process group all of that can be read as one stream and ended as a whole.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local
from kfp.local import executor_output_utils, task_dispatcher
from kfp.local.status import Status

from aegan.narration import narrate

IMAGE_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['pipelinechannel--(?P<name>\w+)'\]\}\}")


class _NoOutputError(Exception):
    """A task that is said to have succeeded left nothing."""


def main(package: str, arguments: str, scratch: str, runner: Any = None) -> None:
    """Run a compiled package.

    Args:
        package: path of the YAML file.
        arguments: the pipeline's arguments, as JSON.
        scratch: folder for what kfp.local keeps of each step.
        runner: of kfp.local; by default, steps are processes of this interpreter.
    """
    runner = runner or local.SubprocessRunner(use_venv=False)
    local.init(runner, pipeline_root=str(Path(scratch) / "outputs"))
    _believe_only_what_left_its_output()
    # Vertex and platform settings stand in a second document, which a laptop has no use for.
    spec = next(yaml.safe_load_all(Path(package).read_text("utf-8")))
    values = json.loads(arguments)
    _forget_retries(spec)
    _settle_containers(spec, values)
    components.load_component_from_text(yaml.safe_dump(spec))(**values)


def _believe_only_what_left_its_output() -> None:
    """Make a task fail that left no executor_output.json, whatever kfp.local says of it.

    The executor writes that file last. kfp.local's DockerRunner takes a container that is gone before it
    was asked about for a success, and then goes on with the outputs that are missing.
    """
    run = task_dispatcher.run_single_task_implementation
    read = executor_output_utils.get_outputs_for_task

    def read_checked(executor_input: Any, component_spec: Any) -> Any:
        if not os.path.isfile(executor_input.outputs.output_file):
            raise _NoOutputError
        return read(executor_input=executor_input, component_spec=component_spec)

    def run_checked(*, component_name: str, **others: Any) -> Any:
        try:
            return run(component_name=component_name, **others)
        except _NoOutputError:
            step = component_name.removeprefix("comp-").replace("-", "_")
            narrate(step, "error", "the step was reported as done and left no output: it failed")
            return {}, Status.FAILURE

    executor_output_utils.get_outputs_for_task = read_checked
    task_dispatcher.run_single_task_implementation = run_checked


def _forget_retries(spec: dict[str, Any]) -> None:
    """Retries are for lost pods. On one machine the same error comes again, after minutes of waiting.

    What is kept is the attempt that notes, at once, that a trial's step was killed.
    """
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
            attempts = task.get("inputs", {}).get("parameters", {}).get("attempts")
            if attempts is not None:
                attempts["runtimeValue"] = {"constant": "1"}
                task["retryPolicy"] = {"maxRetryCount": 1, "backoffDuration": "0s"}


def _settle_containers(spec: dict[str, Any], values: dict[str, str]) -> None:
    """Name the images that are parameters, and forget the pods' environment.

    kfp.local leaves the parameter in the image's place; the environment's paths are a pod's.
    """
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container.pop("env", None)
        if match := IMAGE_PARAMETER.fullmatch(container["image"]):
            name = match["name"]
            container["image"] = values.get(name) or parameters[name]["defaultValue"]


if __name__ == "__main__":
    main(*sys.argv[1:])
