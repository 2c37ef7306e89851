"""What all stages share: a key for what they compute, reuse of what is there, a record of what was done.

    <root>/stages/<stage>/<key>/stage.json        the record, written last; names the attempt
    <root>/stages/<stage>/<key>/<attempt>/…       the outputs
    <root>/stages/<stage>/<key>/failure.json      the error of the newest attempt, if it failed
    <root>/stages/<stage>/<key>/progress.json     what it says while it works: see progress.py

The key is a digest of everything the outputs depend on, so a stage's URI stands for its contents:
given the same inputs it names the same outputs, on a laptop, on a cluster and in Kubeflow's cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aegan
from aegan import errors
from aegan.config import Config
from aegan.digests import of_files, read_json, sha256, to_json
from aegan.errors import IntegrityError, StoreError
from aegan.interruption import stoppable
from aegan.narration import duration, narrate, utc_now
from aegan.stages.progress import progress_shown
from aegan.store import Store, open_store

STAGES = ("normalize", "train_autoencoder", "train_gan", "evaluate", "publish")
RECORD = "stage.json"
FAILURE = "failure.json"
AGAIN = "run again with --no-cache (on a cluster: with a new text as the parameter `fresh`)"


@dataclass(frozen=True)
class StageResult:
    """What a stage produced.

    Attributes:
        uri: `<root>/stages/<stage>/<key>`; stands for the outputs.
        attempt: folder of the outputs below the URI.
        finished: UTC, ISO 8601.
        seconds: the stage took, when it ran.
        files: SHA-256 by path below the attempt.
        summary: a few facts worth showing.
        fresh: the demand for fresh outputs that they answer, if there was one.
    """

    uri: str
    attempt: str
    finished: str
    seconds: float
    files: dict[str, str]
    summary: dict[str, Any]
    fresh: str = ""


def finite_facts(result: StageResult) -> dict[str, Any]:
    """The summary without numbers that are not finite, of which one would fail a step on the cluster."""
    return {
        name: value
        for name, value in result.summary.items()
        if not (isinstance(value, float) and not math.isfinite(value))
    }


def dataset_key(config: Config, data_digest: str) -> str:
    """Key of `normalize`: the source's bytes and how they are split and scaled, not where they lie."""
    data = config.data.model_dump(exclude={"source", "format", "sha256"})
    return _digest("normalize", config.digest("seed", "normalize"), json.dumps(data), data_digest)


def stage_keys(config: Config, dataset: str) -> dict[str, str]:
    """Keys of all stages, given that of `normalize`; each includes the one it builds upon."""
    autoencoder = _digest("train_autoencoder", config.digest("seed", "autoencoder"), dataset)
    gan = _digest("train_gan", config.digest("seed", "normalize", "gan"), autoencoder)
    evaluation = _digest("evaluate", config.digest("name", "seed", "evaluation"), gan)
    publish = _digest("publish", config.digest(), evaluation)
    keys = (dataset, autoencoder, gan, evaluation, publish)
    return dict(zip(STAGES, keys, strict=True))


def run_key(config: Config, data_digest: str) -> str:
    """What a run computes: configuration, data and package version in one digest."""
    return _digest("run", config.digest(), data_digest)


def training_place(config: Config, data_digest: str, stage: str, fresh: str) -> str:
    """Of checkpoints, curves, previews: the run's own, another for each demand of freshness."""
    key = run_key(config, data_digest)
    return f"{_digest('fresh', key, fresh) if fresh else key}/{stage}"


def key_of(uri: str) -> str:
    """The key in a stage's URI."""
    return uri.rsplit("/", 1)[-1]


def run_stage(
    root: str,
    stage: str,
    key: str,
    work: Callable[[Path], dict[str, Any]],
    *,
    fresh: str,
    usable: Callable[[StageResult], bool] = lambda _: True,
    clean_up: Callable[[], None] = lambda: None,
) -> StageResult:
    """Reuse the stage's outputs, or do its work and write them.

    Args:
        root: where everything lies.
        stage: one of STAGES.
        key: digest of all that the outputs depend on.
        work: fills the folder it is given and returns the summary.
        fresh: empty to reuse outputs that are there already; any other text demands outputs made
            for this very text, so that a retry within one run still finds what was done before.
        usable: whether outputs that are there and whole will still do.
        clean_up: what may only be thrown away once the outputs are recorded.
    """
    prefix = f"stages/{stage}/{key}"
    store = open_store(root)
    with explaining(root, stage, key):
        found = read_result(f"{store.uri}/{prefix}")
        if (
            found is not None
            and fresh in ("", found.fresh)
            and _is_whole(store, prefix, found)
            and usable(found)
        ):
            narrate(stage, "reused", f"inputs unchanged since {found.finished}")
            return found
        with progress_shown(store, prefix), stoppable(stage):
            narrate(stage, "start", "")
            start = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
                output = Path(scratch)
                summary = work(output)
                attempt = uuid.uuid4().hex[:12]
                files = of_files(output)
                store.upload(output, f"{prefix}/{attempt}")
            seconds = round(time.monotonic() - start, 2)
            uri = f"{store.uri}/{prefix}"
            result = StageResult(uri, attempt, utc_now(), seconds, files, summary, fresh)
            store.write(f"{prefix}/{RECORD}", to_json(asdict(result)))
            store.delete(f"{prefix}/{FAILURE}")
            clean_up()
            narrate(stage, "done", f"in {duration(seconds)}  {describe(summary)}".rstrip())
            return result


def _is_whole(store: Store, prefix: str, result: StageResult) -> bool:
    """Whether every file is still there; what is in them is checked where they are read."""
    place = f"{prefix}/{result.attempt}"
    there = {name.removeprefix(f"{place}/") for name in store.list(place)}
    return there.issuperset(result.files)


class explaining(AbstractContextManager[None]):  # noqa: N801 (reads as a statement)
    """Narrate an exception as one clear error and record it beside the stage, then let it pass."""

    def __init__(self, root: str, stage: str, key: str):
        """Take the stage's place; `key` may be empty where it is not known yet."""
        self._root, self._stage, self._key = root, stage, key

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Explain; returns nothing, so the exception goes on."""
        if not isinstance(error, Exception) or getattr(error, "aegan_explained", False):
            return
        text = errors.describe(error)
        narrate(self._stage, "error", text)
        error.aegan_explained = True  # type: ignore[attr-defined]
        if self._key:
            place = f"stages/{self._stage}/{self._key}/{FAILURE}"
            content = to_json({"error": text, "at": utc_now()})
            try:
                open_store(self._root).write(place, content)
            except StoreError as second:
                narrate(self._stage, "warning", f"the failure could not be recorded: {second}")


def read_result(uri: str) -> StageResult | None:
    """The record of a finished stage, or None if it has not finished."""
    record = read_json(open_store(uri), RECORD)
    return StageResult(**(record | {"uri": uri})) if record else None


def fetch_outputs(uri: str, scratch: Path) -> Path:
    """A folder with a finished stage's outputs, verified against its record.

    Raises:
        IntegrityError: the stage has not finished, or a file is not what it wrote.
    """
    result = read_result(uri)
    if result is None:
        raise IntegrityError(f"{uri} holds no finished stage, was it deleted? {AGAIN}")
    folder = open_store(uri).fetch(result.attempt, scratch / key_of(uri))
    for name, expected in result.files.items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            raise IntegrityError(
                f"{uri}: {name} is {'changed' if path.is_file() else 'missing'} since it was"
                f" written; {AGAIN}"
            )
    return folder


def describe(summary: dict[str, Any]) -> str:
    """The first facts of a summary in one line; floats short, no URIs."""
    facts = [item for item in summary.items() if item[0] != "uri"][:4]
    shown = (
        f"{name.replace('_', ' ')} {value:.4g}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in facts
        if isinstance(value, (str, int, float))
    )
    return "  ".join(shown)


def _digest(stage: str, *parts: str) -> str:
    text = json.dumps([stage, aegan.__version__, *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
