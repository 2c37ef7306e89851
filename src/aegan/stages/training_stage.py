"""What the two training stages share: accelerators, dataset, checkpoints, monitor, history, cost."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aegan.compute_steps import step_of
from aegan.config import Config
from aegan.config_compute import StepName
from aegan.config_training import Training
from aegan.data.dataset import Dataset, open_dataset
from aegan.digests import to_json
from aegan.stages.stage import (
    StageResult,
    fetch_outputs,
    key_of,
    run_stage,
    stage_keys,
    training_place,
)
from aegan.stages.start_up import import_keras
from aegan.store import open_store

Work = Callable[[Dataset, Any, Any, Path, Path], dict[str, Any]]


def run_training(
    settings: Config, root: str, stage: StepName, dataset_uri: str, work: Work, *, fresh: str
) -> StageResult:
    """`run_stage` with a dataset to train on and checkpoints that are kept until the outputs are.

    Args:
        settings: the run's configuration.
        root: where everything lies.
        stage: `train_autoencoder` or `train_gan`.
        dataset_uri: what `normalize` returned.
        work: of the dataset, the checkpoints, the monitor, a scratch folder and the folder to fill;
            returns the summary.
        fresh: see `run_stage`.
    """
    key = stage_keys(settings, key_of(dataset_uri))[stage]
    store = open_store(root)
    section = settings.gan if stage == "train_gan" else settings.autoencoder
    checkpoints: Any = None

    def prepared(output: Path) -> dict[str, Any]:
        import_keras()
        import tensorflow as tf

        from aegan import replicas
        from aegan.checkpoints import Checkpoints
        from aegan.monitor import Monitor
        from aegan.plans import require_accelerators, require_separable
        from aegan.training_failures import stage_explained

        nonlocal checkpoints
        # Before anything is computed: what an attempt begins with has the bits of the one before, too.
        tf.config.experimental.enable_op_determinism()
        require_accelerators(step_of(settings.compute, stage).accelerator_count)
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            dataset = open_dataset(fetch_outputs(dataset_uri, scratch))
            place = training_place(settings, dataset.digest, stage, fresh)
            checkpoints = Checkpoints(store, f"checkpoints/{place}", stage)
            every = preview_interval(section)
            monitor = Monitor(store, place, dataset.normalizer, stage=stage, preview_every=every)
            with contextlib.closing(monitor), replicas.strategy().scope():
                require_separable(section, replicas.count())
                with stage_explained(stage):
                    return work(dataset, checkpoints, monitor, scratch, output)

    def clean_up() -> None:
        checkpoints.clear()

    return run_stage(root, stage, key, prepared, fresh=fresh, clean_up=clean_up)


def preview_interval(section: Training) -> int:
    """Steps from preview to preview; 0 for none."""
    return max(1, section.steps // 10) if section.preview_every is None else section.preview_every


def write_history(history: list[dict[str, float]], output: Path) -> None:
    """One JSON object a line, into `history.jsonl`; what it took, into `cost.json`."""
    (output / "cost.json").write_bytes(to_json(cost(history)))
    lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in history)
    (output / "history.jsonl").write_text(lines, "utf-8")


def cost(history: list[dict[str, float]]) -> dict[str, Any]:
    """Wall time of the steps, all attempts together, and that times the devices at work.

    Returns:
        `seconds`, `gpus`, `cpu_cores` and `device_hours`: of the GPUs, or of the cores if there is none.
        Cores are those that this process may use.
    """
    import tensorflow as tf

    seconds = sum(record["seconds"] for record in history)
    gpus, cores = len(tf.config.list_physical_devices("GPU")), cpu_cores()
    return {
        "seconds": seconds,
        "gpus": gpus,
        "cpu_cores": cores,
        "device_hours": seconds * (gpus or cores) / 3600,
    }


def cpu_cores(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores that this process may use: those it may run on, or the share that its container has.

    Args:
        groups: where Linux shows the limits of control groups, version 2 or 1.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    found = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    names = ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
    for version in names:
        # Suppressed where there is no such file, or no limit: "max", or -1.
        with contextlib.suppress(OSError, ValueError):
            text = " ".join((groups / name).read_text("utf-8") for name in version)
            quota, period = map(int, text.split())
            if quota > 0 and period > 0:
                found = min(found, quota / period)
    return int(found) if found.is_integer() else round(found, 2)
