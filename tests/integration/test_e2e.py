"""One scenario against the double, and with KFP_HOST and KFP_ROOT against a real Kubeflow.

Submit, wait, load the champion, apply a schedule twice, delete it. `make e2e` says how.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegan.loading import load
from tests.conftest import tiny
from tests.gcs import StrictEmulator
from tests.kfp_server import KfpServer

AEGAN = str(Path(sys.executable).with_name("aegan"))
SCHEDULE = "aegan-e2e"


def scenario(config: str, root: str, folder: Path, environment: dict[str, str]) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AEGAN, *arguments], capture_output=True, text=True, cwd=folder, env=environment
        )

    def aegan(*arguments: str) -> str:
        done = call(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    ended = json.loads(aegan("submit", config, "--root", root, "--wait", "--json"))
    assert ended["status"] == "published"
    record = ended["record"]
    model = load(f"{root}/models/{record['name']}@{record['alias']}")
    assert len(model.sample(4, seed=1)) == 4
    shown = json.loads(aegan("runs", "show", ended["run_id"], "--json"))
    assert shown["state"] == "SUCCEEDED"
    entry: dict[str, Any] = {"name": SCHEDULE, "config": config, "cron": "0 3 1 1 *", "root": root}
    tree = {"group": SCHEDULE, "schedules": [entry]}
    (folder / "schedules.yaml").write_text(yaml.safe_dump(tree))
    apply = ("schedule", "apply", "schedules.yaml", "--json")
    try:
        plans = [json.loads(aegan(*apply)) for _ in range(2)]
        assert [plan[0]["action"] for plan in plans] == ["create", "nothing"]
        listed = json.loads(aegan("schedule", "list", "--json"))
        assert [row["active"] for row in listed if row["name"] == SCHEDULE] == [True]
    finally:  # a real cluster would go on firing it
        deleted = call("schedule", "delete", SCHEDULE)
    assert deleted.returncode == 0, deleted.stderr
    listed = json.loads(aegan("schedule", "list", "--json"))
    assert not [row for row in listed if row["name"] == SCHEDULE]


def test_the_scenario_on_the_double(
    kfp_server: KfpServer,
    emulator: StrictEmulator,
    bucket: str,
    tmp_path: Path,
) -> None:
    kfp_server.runs.environment = {"STORAGE_EMULATOR_HOST": emulator.url}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny()))
    here = {"HOME": str(tmp_path), "AEGAN_HOST": kfp_server.url}
    scenario("tiny.yaml", bucket, tmp_path, os.environ | here)


@pytest.mark.skipif("KFP_HOST" not in os.environ, reason="needs a Kubeflow: set KFP_HOST, KFP_ROOT")
def test_the_scenario_on_a_real_kubeflow(tmp_path: Path) -> None:
    config = os.environ.get("KFP_CONFIG", "digits")
    here = {"AEGAN_HOST": os.environ["KFP_HOST"]}
    scenario(config, os.environ["KFP_ROOT"], tmp_path, os.environ | here)
