"""Where an interrupted training goes on: checkpoints in a stable place, complete or not there.

    <root>/checkpoints/<run key>/<stage>/step-000001200/{state…, history.json, COMPLETE.json}

`COMPLETE.json` is written last and lists every file with its SHA-256: a checkpoint without it, or
whose files are not those, is passed over.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from aegan.narration import narrate
from aegan.store import Store

MARKER = "COMPLETE.json"

History = list[dict[str, float]]


class Checkpoints:
    """The checkpoints of one stage of one run."""

    def __init__(self, store: Store, prefix: str, stage: str):
        """Take a store, the folder `checkpoints/<run key>/<stage>` in it, and a name for messages."""
        self._store, self._prefix, self._stage = store, prefix, stage

    def save(self, step: int, variables: list[Any], history: History) -> None:
        """Write a checkpoint, then its marker, then delete the older ones."""
        name = f"{self._prefix}/step-{step:09d}"
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            tf.train.Checkpoint(variables=variables).write(str(folder / "state"))
            (folder / "history.json").write_text(json.dumps(history), "utf-8")
            digests = {path.name: _sha256(path) for path in folder.iterdir()}
            self._store.upload(folder, name)
        self._store.write(f"{name}/{MARKER}", json.dumps({"step": step, "files": digests}).encode())
        for older in self._steps():
            if older < step:
                self._store.delete(f"{self._prefix}/step-{older:09d}")

    def restore(self, variables: list[Any]) -> tuple[int, History]:
        """Set the variables to the newest complete checkpoint; (0, []) if there is none."""
        for step in sorted(self._steps(), reverse=True):
            with tempfile.TemporaryDirectory() as scratch:
                folder = self._store.fetch(f"{self._prefix}/step-{step:09d}", Path(scratch))
                if not self._is_whole(folder, step):
                    continue
                checkpoint = tf.train.Checkpoint(variables=variables)
                checkpoint.read(str(folder / "state")).assert_consumed()
                return step, json.loads((folder / "history.json").read_text("utf-8"))
        return 0, []

    def clear(self) -> None:
        """Delete all of them: the stage is done, or is to start afresh."""
        self._store.delete(self._prefix)

    def _steps(self) -> list[int]:
        names = [name for name in self._store.list(self._prefix) if name.endswith(f"/{MARKER}")]
        return [int(name.split("/")[-2].removeprefix("step-")) for name in names]

    def _is_whole(self, folder: Path, step: int) -> bool:
        expected = json.loads((folder / MARKER).read_text("utf-8"))["files"]
        for name, digest in expected.items():
            if not (folder / name).is_file() or _sha256(folder / name) != digest:
                narrate(
                    self._stage, "warning", f"passed over the damaged checkpoint of step {step}"
                )
                return False
        return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
