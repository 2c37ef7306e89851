"""Runs one package under kfp.local: `python -P driver.py SPEC PARAMETERS SCRATCH`.

What a cluster does otherwise than kfp.local is put right by the caller in the spec: the run's id; and
here: the state that an exit handler is told.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kfp import components, local
from kfp.local import io

COMPLETE = {"SUCCEEDED": "COMPLETE"}


def speak_as_a_cluster() -> None:
    """An exit handler is told ML Metadata's word for the state (driver/resolve.go), not Kubeflow's."""
    found = io.IOStore.get_task_status

    def get_task_status(store: io.IOStore, task_name: str) -> str:
        state = found(store, task_name)
        return COMPLETE.get(state, state)

    io.IOStore.get_task_status = get_task_status


def main(spec: str, parameters: str, scratch: str) -> None:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(Path(scratch) / "outputs"))
    speak_as_a_cluster()
    text = Path(spec).read_text("utf-8")
    components.load_component_from_text(text)(**json.loads(parameters))


if __name__ == "__main__":
    main(*sys.argv[1:])
