"""Runs one pipeline under kfp.local, in a process of its own.

kfp.local prints, logs and configures itself globally, and leaves children behind when it is killed;
in its own process group all of that can be read as one stream and ended as a whole.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local


def main(package: str, arguments: str, scratch: str) -> None:
    """Run a compiled package.

    Args:
        package: path of the YAML file.
        arguments: the pipeline's arguments, as JSON.
        scratch: folder for what kfp.local keeps of each step.
    """
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(Path(scratch) / "outputs"))
    # Vertex and platform settings stand in a second document, which a laptop has no use for.
    spec = next(yaml.safe_load_all(Path(package).read_text("utf-8")))
    _forget_retries(spec)
    components.load_component_from_text(yaml.safe_dump(spec))(**json.loads(arguments))


def _forget_retries(spec: dict[str, Any]) -> None:
    """Retries are for lost pods. On one machine the same error comes again, after minutes of waiting."""
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)


if __name__ == "__main__":
    main(*sys.argv[1:])
