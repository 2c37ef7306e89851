"""Runs one package under kfp.local: `python -P driver.py SPEC PARAMETERS SCRATCH`.

What a cluster does otherwise than kfp.local is put right by the caller in the spec: the run's id.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kfp import components, local


def main(spec: str, parameters: str, scratch: str) -> None:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(Path(scratch) / "outputs"))
    text = Path(spec).read_text("utf-8")
    components.load_component_from_text(text)(**json.loads(parameters))


if __name__ == "__main__":
    main(*sys.argv[1:])
