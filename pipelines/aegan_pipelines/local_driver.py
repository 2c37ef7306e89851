"""Runs one pipeline under kfp.local, in a process of its own.

kfp.local prints, logs and configures itself globally, and leaves children behind when it is killed;
in its own process group all of that can be read as one stream and ended as a whole.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kfp import components, local


def main(package: str, arguments: str, scratch: str) -> None:
    """Run a compiled package.

    Args:
        package: path of the YAML file.
        arguments: the pipeline's arguments, as JSON.
        scratch: folder for what kfp.local keeps of each step.
    """
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(Path(scratch) / "outputs"))
    components.load_component_from_file(package)(**json.loads(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
