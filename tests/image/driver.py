"""The local driver with steps in containers: `python driver.py PACKAGE ARGUMENTS SCRATCH OPTIONS`."""

from __future__ import annotations

import json
import sys

from aegan_pipelines import local_driver
from kfp import local

if __name__ == "__main__":
    *arguments, options = sys.argv[1:]
    local_driver.main(*arguments, runner=local.DockerRunner(**json.loads(options)))
