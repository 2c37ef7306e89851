"""`aegan run`: the pipeline on this machine. Heavy modules are imported inside."""

from __future__ import annotations

import importlib.util
import signal
import sys
import uuid
from collections.abc import Callable
from typing import Any, NoReturn

import click

from aegan_pipelines.cli_options import (
    DEFAULT_ROOT,
    ROOT_HELP,
    config_options,
    exit_code,
    json_option,
    missing,
    no_cache_option,
    print_json,
)

Record = dict[str, Any]


@click.command()
@config_options
@click.option("--root", default=DEFAULT_ROOT, show_default=True, help=ROOT_HELP)
@no_cache_option
@json_option
def run(config: str, overrides: tuple[str, ...], root: str, no_cache: bool, as_json: bool) -> None:
    """Run the whole pipeline on this machine. Running it again continues where it stopped."""
    from aegan.config_file import load_config

    settings = load_config(config, overrides)
    # Any text that was never used before makes every stage compute its outputs anew.
    fresh = uuid.uuid4().hex if no_cache else ""

    def work(**how: Any) -> Record:
        from aegan_pipelines.local_runner import run_locally

        return run_locally(settings, root, fresh=fresh, **how)

    conclude(watched(work, no_cache=no_cache), root, as_json=as_json)


def conclude(record: Record, root: str, *, as_json: bool) -> NoReturn:
    """Tell how a run on this machine ended, and exit."""
    if as_json:
        print_json(record)
    elif record["status"] in ("published", "rejected"):
        from aegan_pipelines.summary import summarize

        click.echo(summarize(record, root))
    else:
        if "sweep" in record:
            from aegan_pipelines.summary import describe_failed_sweep

            click.echo(describe_failed_sweep(record))
        click.echo(f"error: the run failed; its whole log is {record['log']}", err=True)
    sys.exit(exit_code(record["status"]))


def watched(work: Callable[..., Record], *, no_cache: bool) -> Record:
    """Do the work with its events shown; ends the whole process group if this process is told to end.

    Args:
        work: is given `show` and `progress_seconds`; returns the run's record.
        no_cache: whether the same command would do everything anew.
    """
    try:
        from aegan_pipelines.pipeline import build  # noqa: F401 (fails early without kfp)

        if importlib.util.find_spec("tensorflow") is None:  # found out now, not in the second stage
            raise ImportError("TensorFlow", name="tensorflow")
    except ImportError as error:
        raise missing("running pipelines", "train,pipelines", error) from None
    from rich.console import Console

    from aegan_pipelines.display import shown

    console = Console(stderr=True)
    for number in (signal.SIGTERM, signal.SIGHUP):  # end the driver's processes, too
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    with shown(console, no_cache=no_cache) as display:
        return work(show=display.show, progress_seconds=0.5 if console.is_terminal else 10.0)
