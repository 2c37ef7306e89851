"""Where an interrupted training goes on: checkpoints in a stable place, complete or not there.

    <root>/checkpoints/<run key>/<stage>/step-000001200-<writer>/{state…, progress.json, COMPLETE.json}

`COMPLETE.json` is written last and lists every file with its SHA-256: a checkpoint without it, or
whose files are not those, is passed over. Each process writes and deletes its own only, so two runs
of the same thing do not disturb each other. Training goes on while one is written.
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from aegan.digests import of_files, sha256, to_json
from aegan.errors import StoreError
from aegan.narration import narrate
from aegan.store import Store, check_name

Array = np.ndarray[Any, Any]

MARKER = "COMPLETE.json"

_MARKER_PATTERN = re.compile(r"/(?P<name>step-(?P<step>\d+)-\w+)/COMPLETE\.json$")
_KEY = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"  # of a list's items in a tf.train.Checkpoint


class Checkpoints:
    """The checkpoints of one stage of one run."""

    def __init__(self, store: Store, prefix: str, stage: str):
        """Take a store, the folder `checkpoints/<run key>/<stage>` in it and a name for messages."""
        self._store, self._prefix, self._stage = store, prefix, stage
        self._writer = uuid.uuid4().hex[:8]
        self._superseded: list[str] = []
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def begin(self, step: int, variables: list[Any], progress: dict[str, Any]) -> None:
        """Copy the variables, and write a checkpoint of them while training goes on.

        One that is still being written is waited for, so that no more work is at stake than between
        two. A place that cannot be written is warned of: training is worth more than its checkpoint.
        """
        self.finish()
        values, text = [variable.numpy() for variable in variables], to_json(progress)
        self._writing = self._pool.submit(self._try, step, values, text)

    def save(self, step: int, variables: list[Any], progress: dict[str, Any]) -> None:
        """Write a checkpoint, then its marker, then delete those that it supersedes.

        Raises:
            StoreError: it could not be written.
        """
        self.finish()
        self._save(step, [variable.numpy() for variable in variables], to_json(progress))

    def finish(self) -> None:
        """Wait for the one that is being written."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def restore(self, variables: list[Any]) -> tuple[int, dict[str, Any]]:
        """Set the variables to the newest complete checkpoint; (0, {}) if there is none."""
        for step, name in self._complete():
            place = f"{self._prefix}/{name}"
            with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
                try:
                    folder = self._store.fetch(place, Path(scratch))
                    values, progress = _read(folder, variables)
                except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
                    text = f"passed over the checkpoint of step {step:,}: {error}"
                    narrate(self._stage, "warning", text)
                    continue
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            self._superseded = [place]
            return step, progress
        return 0, {}

    def clear(self) -> None:
        """Delete all of them: the stage is done."""
        self.finish()
        self._store.delete(self._prefix)

    def _try(self, step: int, values: list[Array], progress: bytes) -> None:
        try:
            self._save(step, values, progress)
        except StoreError as error:
            text = (
                f"the checkpoint of step {step:,} could not be written, training goes on: {error}"
            )
            narrate(self._stage, "warning", text)

    def _save(self, step: int, values: list[Array], progress: bytes) -> None:
        place = f"{self._prefix}/step-{step:09d}-{self._writer}"
        with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
            folder = Path(scratch)
            with tf.device("CPU"):
                copies = [tf.Variable(value) for value in values]
                tf.train.Checkpoint(variables=copies).write(str(folder / "state"))
            (folder / "progress.json").write_bytes(progress)
            digests = of_files(folder)
            self._store.upload(folder, place)
        self._store.write(f"{place}/{MARKER}", to_json({"step": step, "files": digests}))
        for older in self._superseded:
            if older != place:
                self._store.delete(older)
        self._superseded = [place]

    def _complete(self) -> list[tuple[int, str]]:
        """Steps and names of the checkpoints with a marker, newest first."""
        matches = map(_MARKER_PATTERN.search, self._store.list(self._prefix))
        return sorted(((int(m["step"]), m["name"]) for m in matches if m), reverse=True)


def _read(folder: Path, variables: list[Any]) -> tuple[list[Array], dict[str, Any]]:
    """Values for the variables, and the progress; nothing is assigned before all is known good."""
    expected = json.loads((folder / MARKER).read_text("utf-8"))["files"]
    for name, digest in expected.items():
        if sha256(folder / check_name(name)) != digest:
            raise ValueError(f"{name} is damaged")
    reader = tf.train.load_checkpoint(str(folder / "state"))
    shapes = reader.get_variable_to_shape_map()
    keys = [_KEY.format(number) for number in range(len(variables))]
    found = sum(name.startswith("variables/") for name in shapes)
    if found != len(keys) or any(
        shapes.get(key) != variable.shape.as_list()
        for key, variable in zip(keys, variables, strict=True)
    ):
        raise ValueError("it is of another network or optimiser")
    progress: dict[str, Any] = json.loads((folder / "progress.json").read_text("utf-8"))
    return [reader.get_tensor(key) for key in keys], progress
