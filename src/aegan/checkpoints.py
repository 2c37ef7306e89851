"""Where an interrupted training goes on: checkpoints in a stable place, complete or not there.

    <root>/checkpoints/<run key>/<stage>/step-000001200-<writer>/{state…, progress.json, COMPLETE.json}

`COMPLETE.json` is written last and lists every file with its SHA-256: a checkpoint without it, or
whose files are not those, is passed over. Each process writes and deletes its own only, so two runs
of the same thing do not disturb each other.
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from pathlib import Path
from typing import Any

import tensorflow as tf

from aegan.digests import of_files, sha256, to_json
from aegan.narration import narrate
from aegan.store import Store

MARKER = "COMPLETE.json"

_MARKER_PATTERN = re.compile(r"/(?P<name>step-(?P<step>\d+)-\w+)/COMPLETE\.json$")


class Checkpoints:
    """The checkpoints of one stage of one run."""

    def __init__(self, store: Store, prefix: str, stage: str):
        """Take a store, the folder `checkpoints/<run key>/<stage>` in it and a name for messages."""
        self._store, self._prefix, self._stage = store, prefix, stage
        self._writer = uuid.uuid4().hex[:8]
        self._superseded: list[str] = []

    def save(self, step: int, variables: list[Any], progress: dict[str, Any]) -> None:
        """Write a checkpoint, then its marker, then delete those that it supersedes."""
        place = f"{self._prefix}/step-{step:09d}-{self._writer}"
        with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
            folder = Path(scratch)
            tf.train.Checkpoint(variables=variables).write(str(folder / "state"))
            (folder / "progress.json").write_bytes(to_json(progress))
            digests = of_files(folder)
            self._store.upload(folder, place)
        self._store.write(f"{place}/{MARKER}", to_json({"step": step, "files": digests}))
        for older in self._superseded:
            self._store.delete(older)
        self._superseded = [place]

    def restore(self, variables: list[Any]) -> tuple[int, dict[str, Any]]:
        """Set the variables to the newest complete checkpoint; (0, {}) if there is none."""
        for step, name in self._complete():
            place = f"{self._prefix}/{name}"
            with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
                try:
                    progress = self._read(self._store.fetch(place, Path(scratch)), variables)
                except (OSError, ValueError, tf.errors.OpError) as error:
                    text = f"passed over the checkpoint of step {step:,}: {error}"
                    narrate(self._stage, "warning", text)
                    continue
            self._superseded = [place]
            return step, progress
        return 0, {}

    def clear(self) -> None:
        """Delete all of them: the stage is done."""
        self._store.delete(self._prefix)

    def _complete(self) -> list[tuple[int, str]]:
        """Steps and names of the checkpoints with a marker, newest first."""
        matches = map(_MARKER_PATTERN.search, self._store.list(self._prefix))
        return sorted(((int(m["step"]), m["name"]) for m in matches if m), reverse=True)

    def _read(self, folder: Path, variables: list[Any]) -> dict[str, Any]:
        expected = json.loads((folder / MARKER).read_text("utf-8"))["files"]
        for name, digest in expected.items():
            if sha256(folder / name) != digest:
                raise ValueError(f"{name} is damaged")
        tf.train.Checkpoint(variables=variables).read(str(folder / "state")).assert_consumed()
        progress: dict[str, Any] = json.loads((folder / "progress.json").read_text("utf-8"))
        return progress
