"""`aegan run`: the compiled pipeline on this machine, readable while it runs, one record at the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from aegan.config import Config
from aegan.config_compute import Compute
from aegan.config_file import with_parameters
from aegan.digests import read_json
from aegan.errors import AeganError
from aegan.narration import EVENT, INTERVAL_VARIABLE
from aegan.signatures import check_key
from aegan.stages import compare, record
from aegan.store import check_writable, open_store
from aegan.sweep import Trial

GRACE_SECONDS = 60.0
"""Until a step that was told to stop is killed: enough to finish a call and write a checkpoint."""
LOG_TAIL_LINES = 25


def run_locally(
    config: Config,
    root: str,
    *,
    fresh: str = "",
    show: Callable[[str, str, str], None],
    progress_seconds: float,
) -> dict[str, Any]:
    """Compile the pipeline, run the package under kfp.local, return the run's record.

    Args:
        config: what to run; `compute` is for clusters and ignored.
        root: folder or bucket path where everything of this project lies.
        fresh: empty to reuse what is there already, else see `run_stage`.
        show: is told each event: stage, kind, text.
        progress_seconds: between two progress events of a stage.

    Raises:
        AeganError: the root cannot be written to, the key cannot sign, or the run left no record.
    """
    from aegan_pipelines.pipeline import compile_package

    def write(config: Config, package: Path, root: str) -> None:
        compile_package(config, package, root)

    return _run(config, root, write, fresh=fresh, show=show, progress_seconds=progress_seconds)


def sweep_locally(
    config: Config,
    trials: list[Trial],
    metric: str,
    parallelism: int,
    root: str,
    **how: Any,
) -> dict[str, Any]:
    """The same for a sweep, at most two trials at a time; `how` are the keywords of `run_locally`."""
    from aegan_pipelines.sweep_pipeline import compile_sweep

    def write(config: Config, package: Path, root: str) -> None:
        compile_sweep(config, trials, metric, parallelism, package, root)

    return _run(config, root, write, **how)


def _run(
    config: Config, root: str, write: Callable[[Config, Path, str], None], **how: Any
) -> dict[str, Any]:
    store = open_store(root)
    check_writable(store)
    if config.publish.sign:  # found out now, not after the training
        check_key(Path(config.publish.sign))
    with tempfile.TemporaryDirectory(prefix="aegan-run-") as scratch:
        package = Path(scratch) / "pipeline.yaml"
        # A laptop trains on what it has: no step may insist on what a cluster has.
        compute = Compute(image=config.compute.image)
        write(config.model_copy(update={"compute": compute}), package, store.uri)
        return run_package(package, store.uri, **how)


def run_package(
    package: Path,
    root: str,
    *,
    fresh: str = "",
    data_source: str = "",
    show: Callable[[str, str, str], None],
    progress_seconds: float,
) -> dict[str, Any]:
    """Run a compiled package under kfp.local; see `run_locally`.

    `data_source` is in place of the configuration's, unless it is empty.
    """
    arguments = {"root": root, "fresh": fresh, "data_source": data_source}
    lines: list[str] = []
    run_id, record_uri = "", ""
    failed = False
    try:
        with (
            tempfile.TemporaryDirectory(prefix="aegan-kfp-") as scratch,
            _driver(package, arguments, scratch, progress_seconds) as process,
        ):
            for line in process.stdout or ():
                lines.append(line)
                if match := EVENT.match(line):
                    stage, event, text = match["stage"], match["event"], match["text"]
                    if event == "run" and "#" not in stage:  # a trial is no run of its own
                        run_id = text
                    record_uri = text if event == "record" else record_uri
                    failed = failed or event == "error"
                    show(stage, event, text)
    except (KeyboardInterrupt, SystemExit):
        # What ends this process ends the exit handler, too: write the run's record in its place.
        if run_id:
            _record_interruption(package, data_source, root, run_id)
        raise
    if not record_uri:
        tail = "".join(lines[-LOG_TAIL_LINES:])
        raise AeganError(f"the pipeline ended without a record; the end of its log:\n{tail}")
    return _read_record(record_uri, lines, explained=failed)


def _record_interruption(package: Path, data_source: str, root: str, run_id: str) -> None:
    spec = next(yaml.safe_load_all(package.read_text("utf-8")))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    values = {name: str(item.get("defaultValue", "")) for name, item in parameters.items()}
    config = with_parameters(values["config"], data_source)
    ending = ("CANCELED", "interrupted")
    if "trials" in values:
        compare.run_record(config, root, run_id, values["trials"], values["metric"], *ending)
    else:
        record.run(config, root, run_id, *ending)


def _read_record(uri: str, lines: list[str], *, explained: bool) -> dict[str, Any]:
    folder, _, name = uri.rpartition("/")
    store = open_store(folder)
    store.write("log.txt", "".join(lines).encode())
    record = read_json(store, name)
    record["log"] = f"{folder}/log.txt"
    if record["status"] == "failed" and not explained and "sweep" not in record:
        # A step that was killed says nothing: what is at the end of the log is all there is.
        tail = "".join(lines[-LOG_TAIL_LINES:])
        raise AeganError(f"a step ended without an error of its own; the end of the log:\n{tail}")
    return record


@contextlib.contextmanager
def _driver(
    package: Path, arguments: dict[str, Any], scratch: str, progress_seconds: float
) -> Iterator[subprocess.Popen[str]]:
    """The driver in its own process group, which does not outlive this block."""
    environment = os.environ | {
        INTERVAL_VARIABLE: str(progress_seconds),
        # A folder of the user's named like a package (docker/) must not shadow it.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TMPDIR": scratch,  # what killed steps leave behind goes with the rest
    }
    command = [sys.executable, "-m", "aegan_pipelines.local_driver", str(package)]
    process = subprocess.Popen(
        [*command, json.dumps(arguments), scratch],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
        process.wait()
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Tell all of them to end; kill what is left after a while, or at once if told to end again."""
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, signal.SIGTERM)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)  # raises when the last of them has gone
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
