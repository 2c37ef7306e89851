"""Stage 1: read the source, split it, fit the scaling, write the dataset."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from aegan.config_file import from_json
from aegan.data.dataset import SPLITS, check_classes, check_sizes, write_dataset
from aegan.data.sources import read_source
from aegan.digests import to_json
from aegan.errors import StoreError, describe
from aegan.narration import narrate, utc_now
from aegan.stages.stage import StageResult, dataset_key, explaining, run_key, run_stage
from aegan.store import check_writable, open_store


def run(config: str, root: str, run_id: str, *, fresh: str = "") -> StageResult:
    """Write the dataset of a run and note that the run began.

    Args:
        config: canonical JSON of the configuration.
        root: folder or bucket path where everything of this project lies.
        run_id: of the pipeline run.
        fresh: empty to reuse what is there already, else see `run_stage`.
    """
    settings = from_json(config)
    began: dict[str, Any] = {"run_id": run_id, "started": utc_now(), "fresh": fresh}
    place = f"runs/{run_id}/began.json"
    store = open_store(root)

    def work(output: Path) -> dict[str, Any]:
        dataset = write_dataset(raw, settings, output)
        return {split: dataset.rows(split) for split in SPLITS}

    with explaining(root, "normalize", ""), tempfile.TemporaryDirectory() as scratch:
        check_writable(store)
        store.write(place, to_json(began))
        narrate("normalize", "run", run_id)
        try:
            raw = read_source(settings.data, Path(scratch))
            check_classes(settings, raw)
            digest = raw.digest()
            key = dataset_key(settings, digest)
            keys = {"data_digest": digest, "dataset_key": key}
            began |= keys | {"run_key": run_key(settings, digest)}
            store.write(place, to_json(began))
            narrate("normalize", "info", f"data {digest[:12]}")
            result = run_stage(root, "normalize", key, work, fresh=fresh)
            check_sizes(settings, result.summary)  # a reused dataset may meet larger batches
        except Exception as error:
            with contextlib.suppress(StoreError):  # which would hide what went wrong first
                store.write(place, to_json(began | {"error": describe(error)}))
            raise
        return result
