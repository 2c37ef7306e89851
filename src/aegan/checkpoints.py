"""Where an interrupted training goes on: checkpoints in a stable place, complete or not there.

    <root>/checkpoints/<run key>/<stage>/step-000001200-<writer>_0003/
        state… progress.json COMPLETE.json

The first number counts units of work, of which a step may take several; the last, what this writer has
written, as training that has backed off comes to the same step again with other weights. `COMPLETE.json`
is written last and lists every file with its SHA-256: a checkpoint without it, or whose files are not
those, is passed over. Each process writes and deletes its own only, so two runs of the same thing do not
disturb each other. Training goes on while one is written.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from aegan.digests import of_files, to_json
from aegan.errors import StoreError
from aegan.narration import narrate
from aegan.store import Store
from aegan.transfers import readable

Array = np.ndarray[Any, Any]

MARKER = "COMPLETE.json"

_PATTERN = re.compile(r"/(?P<name>step-(?P<position>\d+)-\w+)/(?P<file>[^/]+)$")
_KEY = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"  # of a list's items in a tf.train.Checkpoint
_UNUSABLE = (
    ValueError,
    FileNotFoundError,  # someone else superseded it meanwhile
    NotADirectoryError,
    IsADirectoryError,
    tf.errors.OpError,
)


class Checkpoints:
    """The checkpoints of one stage of one run.

    Attributes:
        store, prefix: where they lie, `checkpoints/<run key>/<stage>`.
        origin: digest of what a training began with and would compute anew; checkpoints of another
            origin are passed over.
        units: of work in a step, so that messages can name steps.
    """

    def __init__(self, store: Store, prefix: str, stage: str):
        """Take a store, the folder `checkpoints/<run key>/<stage>` in it and a name for messages."""
        self.store, self.prefix, self._stage = store, prefix, stage
        self.origin, self.units = "", 1
        self._writer, self._written = uuid.uuid4().hex[:8], 0
        self._superseded: list[str] = []
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def begin(self, position: int, variables: list[Any], progress: dict[str, Any]) -> None:
        """Copy the variables, and write a checkpoint of them while training goes on.

        One that is still being written is waited for, so that no more work is at stake than between
        two. A place that cannot be written is warned of: training is worth more than its checkpoint.
        """
        self.finish()
        values, text = [variable.numpy() for variable in variables], to_json(progress)
        self._writing = self._pool.submit(self._try, position, values, text)

    def save(self, position: int, variables: list[Any], progress: dict[str, Any]) -> None:
        """Write a checkpoint, then its marker, then delete those that it supersedes.

        Raises:
            StoreError: it could not be written.
        """
        self.finish()
        values, text = [variable.numpy() for variable in variables], to_json(progress)
        # In the thread, too: a strategy's scope, which would copy all to each device, ends there.
        self._pool.submit(self._save, position, values, text).result()

    def finish(self) -> None:
        """Wait for the one that is being written."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def restore(self, variables: list[Any]) -> tuple[int, dict[str, Any]]:
        """Set the variables to the newest complete checkpoint; (0, {}) if there is none.

        Raises:
            StoreError: one that is there cannot be read; to begin anew would throw it away.
        """
        complete, torn = self._there()
        for position in torn:
            if not complete or position > complete[0][0]:  # else there is a better one in any case
                self._pass_over(position, "it was not written to its end")
        for position, name in complete:
            place = f"{self.prefix}/{name}"
            with (
                readable(Path(place)),
                tempfile.TemporaryDirectory(prefix="aegan-") as scratch,
            ):
                try:
                    folder = self._fetched(place, Path(scratch))
                    values, progress = _read(folder, variables, self.origin)
                except _UNUSABLE as error:
                    self._pass_over(position, str(error))
                    continue
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            self._superseded = [place]
            return position, progress
        return 0, {}

    def clear(self) -> None:
        """Delete all of them, and what lies beside them: the stage is done."""
        self.finish()
        self.store.delete(self.prefix)

    def _pass_over(self, position: int, why: str) -> None:
        text = f"passed over the checkpoint of step {self._step(position)}: {why}"
        narrate(self._stage, "warning", text)

    def _step(self, position: int) -> str:
        return f"{position // self.units:,}"

    def _fetched(self, place: str, scratch: Path) -> Path:
        """Its files; FileNotFoundError if they were deleted while they were fetched."""
        names = self.store.list(place)
        try:
            return self.store.fetch(place, scratch)
        except StoreError as error:
            if self.store.list(place) == names:
                raise
            raise FileNotFoundError("it was deleted meanwhile") from error

    def _try(self, position: int, values: list[Array], progress: bytes) -> None:
        try:
            self._save(position, values, progress)
        except StoreError as error:
            text = (
                f"the checkpoint of step {self._step(position)} could not be written, training goes"
                f" on: {error}"
            )
            narrate(self._stage, "warning", text)

    def _save(self, position: int, values: list[Array], progress: bytes) -> None:
        place = f"{self.prefix}/step-{position:09d}-{self._writer}_{self._written:04d}"
        self._written += 1
        with _scratch() as folder:
            with tf.device("CPU"):
                copies = [tf.Variable(value) for value in values]
                tf.train.Checkpoint(variables=copies).write(str(folder / "state"))
            (folder / "progress.json").write_bytes(progress)
            digests = of_files(folder)
            self.store.upload(folder, place)
        marker = {"step": position // self.units, "files": digests, "origin": self.origin}
        self.store.write(f"{place}/{MARKER}", to_json(marker))
        self._prune(place)

    def _prune(self, newest: str) -> None:
        """Delete what the newest supersedes, which is safe by now; what is left, the next time."""
        older = [place for place in self._superseded if place != newest]
        self._superseded = [*older, newest]
        try:
            for place in older:
                self.store.delete(place)
                self._superseded.remove(place)
        except StoreError as error:
            text = f"an older checkpoint could not be deleted, the next one tries again: {error}"
            narrate(self._stage, "warning", text)

    def _there(self) -> tuple[list[tuple[int, str]], list[int]]:
        """Positions and names of those with a marker, newest first; positions of the others."""
        found: dict[tuple[int, str], set[str]] = {}
        for match in map(_PATTERN.search, self.store.list(self.prefix)):
            if match:
                files = found.setdefault((int(match["position"]), match["name"]), set())
                files.add(match["file"])
        complete = sorted((place for place in found if MARKER in found[place]), reverse=True)
        return complete, [position for position, name in found if (position, name) not in complete]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder; says in our words what keeps files from being written to it."""
    try:
        with tempfile.TemporaryDirectory(prefix="aegan-") as name:
            yield Path(name)
    except StoreError:
        raise
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error
        raise StoreError(
            f"cannot write temporary files: {reason}; make room for them, or set TMPDIR to a folder"
            " that has room"
        ) from error


def _read(folder: Path, variables: list[Any], origin: str) -> tuple[list[Array], dict[str, Any]]:
    """Values for the variables, and the progress; nothing is assigned before all is known good."""
    marker = json.loads((folder / MARKER).read_text("utf-8"))
    expected = marker.get("files") if isinstance(marker, dict) else None
    if not isinstance(expected, dict) or not {"state.index", "progress.json"} <= expected.keys():
        raise ValueError(f"its {MARKER} is not one of ours")
    found = of_files(folder)
    for name, digest in expected.items():
        if found.get(name) != digest:
            raise ValueError(f"{name} is missing or damaged")
    if marker.get("origin", "") != origin:
        raise ValueError("what it was trained on was computed anew since, and differs")
    reader = tf.train.load_checkpoint(str(folder / "state"))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    keys = [_KEY.format(number) for number in range(len(variables))]
    if sum(name.startswith("variables/") for name in shapes) != len(keys) or any(
        (shapes.get(key), types.get(key)) != (variable.shape.as_list(), variable.dtype)
        for key, variable in zip(keys, variables, strict=True)
    ):
        raise ValueError("it is of another network or optimiser")
    progress = json.loads((folder / "progress.json").read_text("utf-8"))
    if not isinstance(progress, dict):
        raise ValueError("its progress.json is not one of ours")
    return [reader.get_tensor(key) for key in keys], progress
