"""What the two training stages share: the bits they begin with, and what they say that they took."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aegan.config_file import validate
from aegan.stages import normalize
from aegan.stages.training_stage import cpu_cores, run_training
from tests.conftest import tiny


def test_a_stage_is_deterministic_before_it_computes_anything(tmp_path: Path) -> None:
    from tensorflow.python.framework import config as tensorflow_config

    settings = validate(tiny(), "test")
    dataset = normalize.run(settings.to_json(), str(tmp_path), "run").uri
    tensorflow_config.disable_op_determinism()
    found = []

    def work(*_: Any) -> dict[str, Any]:
        found.append(tensorflow_config.is_op_determinism_enabled())
        return {}

    run_training(settings, str(tmp_path), "train_gan", dataset, work, fresh="")
    assert found == [True]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.25),
    ],
)
def test_cores_are_those_that_the_process_may_use(
    files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cpu_cores(tmp_path) == (expected or 1)
    finally:
        os.sched_setaffinity(0, before)


def test_a_step_starts_without_what_keras_would_import_for_others_and_can_import_it_later() -> None:
    program = (
        "import sys\n"
        "from aegan.stages.start_up import OFFERED_BY_KERAS, import_keras\n"
        "import_keras()\n"
        "assert {'keras', 'tensorflow'} <= set(sys.modules)\n"
        "assert not set(OFFERED_BY_KERAS) & set(sys.modules)\n"
        "import matplotlib.figure, sklearn.cluster\n"
        "import_keras()\n"
        "assert sys.modules['sklearn'].cluster\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
