"""How a run on this machine ends what it started."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aegan_pipelines import local_runner

from aegan.config_file import validate
from aegan.errors import RegistryError
from tests.conftest import tiny

STUBBORN = "trap '' TERM; echo ready; read line"


def test_a_step_has_the_time_to_finish_a_call_and_to_write_a_checkpoint() -> None:
    assert local_runner.GRACE_SECONDS >= 60


def test_a_key_that_cannot_sign_is_found_out_before_anything_runs(tmp_path: Path) -> None:
    config = validate(tiny(publish={"sign": str(tmp_path / "none.pem")}), "test")
    with pytest.raises(RegistryError, match="cannot read the key .*none.pem"):
        local_runner.run_locally(
            config, str(tmp_path / "root"), show=lambda *_: None, progress_seconds=1.0
        )
    assert list((tmp_path / "root").rglob("*.json")) == []


def test_told_to_end_again_it_kills_at_once() -> None:
    process = subprocess.Popen(
        ["sh", "-c", STUBBORN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def again(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, again)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            local_runner._end_group(process)
        assert process.wait(timeout=30) == -signal.SIGKILL
    finally:
        signal.signal(signal.SIGALRM, before)
        process.kill()
        process.communicate()
