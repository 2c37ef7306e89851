"""Schedule files of tests: written, applied to the double, looked at, killed on the way."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aegan_pipelines import schedule_entries, schedule_obstacles, scheduling
from aegan_pipelines.cli import main
from aegan_pipelines.context import Context
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.rest import Api
from aegan_pipelines.schedule_file import read_schedules, refuse
from click.testing import CliRunner, Result

from tests.conftest import tiny
from tests.kfp_server import KfpServer

CONTEXT = Context(root="gs://bucket/root")


class Killed(BaseException):
    pass


def write(folder: Path, *schedules: dict[str, Any], group: str = "tests") -> Path:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny()))
    base = {"config": "tiny.yaml", "cron": "0 3 * * *"}
    tree = {"group": group, "schedules": [base | s for s in schedules]}
    (folder / "schedules.yaml").write_text(yaml.safe_dump(tree))
    return folder / "schedules.yaml"


def apply(server: KfpServer, path: Path, *, prune: bool = False) -> list[str]:
    file, api = read_schedules(path), Api(server.url, Credentials(), backoff=0.01)
    now = datetime.now(UTC)
    wanted, mistakes = schedule_entries.prepare_all(file, CONTEXT, now)
    changes, obstacles = schedule_obstacles.survey(api, wanted, file.group, "", now)
    refuse(path, mistakes + obstacles)
    scheduling.carry_out(api, changes, CONTEXT, prune=prune)
    return [change.action for change in changes]


def there(server: KfpServer) -> dict[str, tuple[str, str]]:
    items = server.recurring.items.values()
    names = [item["display_name"] for item in items]
    assert len(names) == len(set(names)), names
    trigger = {i["display_name"]: next(iter(i["trigger"].values())) for i in items}
    status = {item["display_name"]: item["status"] for item in items}
    return {
        n: (status[n], str(t.get("cron", t.get("interval_second")))) for n, t in trigger.items()
    }


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, before: bool) -> None:
    """Let the call of this number, counted from now, be the last."""
    once, countdown = Api._once, itertools.count(1)

    def dying(self: Api, *call: Any) -> Any:
        is_last = next(countdown) == number
        if is_last and before:
            raise Killed
        answer = once(self, *call)
        if is_last:
            raise Killed
        return answer

    monkeypatch.setattr(Api, "_once", dying)


def command(server: KfpServer, *arguments: str) -> Result:
    """`aegan schedule …`, with the double as its cluster."""
    environment = {"AEGAN_HOST": server.url, "AEGAN_CONTEXT": "/dev/null"}
    done = CliRunner().invoke(main, ["schedule", *arguments], env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done
