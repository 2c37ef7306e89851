"""Retraining when the data has changed: a look at the source's listing, and a run if it is worth one.

    <root>/watch/<name>.json      digest and listing of the source that the newest run was submitted for

Nothing is downloaded. Watchers take turns. The note is written before the run is submitted and completed
after it, by compare-and-swap: who comes after one that was killed or refused in between finds its note,
and submits under the same name, which the root, the configuration and the listing made, before it looks
at what is new since. A changed configuration is no new data: the next run that the data asks for has it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegan.config import Config
from aegan.data.sources import BUILT_IN, split_uri
from aegan.digests import from_json, to_json
from aegan.errors import DataError, PreconditionError
from aegan.narration import utc_now
from aegan.stages.turns import turn
from aegan.store import Store, open_store
from aegan_pipelines import submission
from aegan_pipelines.context import Context
from aegan_pipelines.rest import Api

Listing = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Watched:
    """What a look at the source led to.

    Attributes:
        outcome: unchanged, too-little, submitted, or elsewhere (another watcher is at it).
        new_bytes: in files that are new or changed since the last run.
        new_files: how many these are.
        run_id: of the run that was submitted for the source as it is.
    """

    outcome: str
    new_bytes: int
    new_files: int
    run_id: str | None


def watch(
    api: Api, config: Config, root: str, context: Context, *, min_bytes: int = 0, min_files: int = 0
) -> Watched:
    """Submit a run if the source changed, and by enough, since the last that was submitted here.

    Args:
        api: of the cluster.
        config: what to run.
        root: where everything lies.
        context: namespace, experiment and service account.
        min_bytes: least bytes in new and changed files.
        min_files: least number of these files.

    Raises:
        DataError: there is nothing at the source.
    """
    listing = list_source(config.data.source)
    store, place = open_store(root), f"watch/{config.name}.json"
    with turn(store, f"watch/{config.name}.turn.json"):
        content, generation = store.read_versioned(place)
        note = from_json(content, f"{store.uri}/{place}")
        before = {name: tuple(mark) for name, mark in note.get("listing", {}).items()}
        if note and not note["run_id"]:  # first what another noted and did not come to submit
            return _submit(api, config, root, context, store, place, note)
        if listing == before:
            return Watched("unchanged", 0, 0, str(note["run_id"]))
        new = [size for name, (size, mark) in listing.items() if before.get(name) != (size, mark)]
        if sum(new) < min_bytes or len(new) < min_files:
            return Watched("too-little", sum(new), len(new), None)
        # Also the root: runs are found by name, and those of another root are none of this one's.
        key = _digest([store.uri, config.digest(), sorted(listing.items())])
        note = {"key": key, "listing": listing, "run_id": None, "at": utc_now()}
        note |= {"new_bytes": sum(new), "new_files": len(new)}
        try:
            store.write(place, to_json(note), if_generation=generation)
        except PreconditionError:  # of one that was so slow that its turn was taken over
            return Watched("elsewhere", sum(new), len(new), None)
        return _submit(api, config, root, context, store, place, note)


def _submit(
    api: Api,
    config: Config,
    root: str,
    context: Context,
    store: Store,
    place: str,
    note: dict[str, Any],
) -> Watched:
    """What a note asks for; the name finds a run that was submitted and not noted."""
    name = f"{config.name} watch {note['key'][:16]}"
    run_id = submission.submit(api, config, root, context, name=name).run_id
    store.write(place, to_json(note | {"run_id": run_id}))
    return Watched("submitted", int(note["new_bytes"]), int(note["new_files"]), run_id)


def list_source(source: str) -> Listing:
    """Size and mark of every file of a source, by name.

    Raises:
        DataError: there is none.
    """
    if source == BUILT_IN:
        return {BUILT_IN: (0, "")}  # which never change
    is_bucket = source.startswith("gs://")
    parent, name = split_uri(source if is_bucket else str(Path(source).expanduser().absolute()))
    listing = open_store(parent or "/").marks(name)
    if not listing:
        raise DataError(f"nothing lies at {source}: give an existing file or folder as data.source")
    return listing


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()
