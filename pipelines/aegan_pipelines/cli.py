"""The command line. Heavy modules are imported inside commands: `aegan --help` must be instant.

Exit codes: 0 done (for `run`: published), 1 failed, 2 wrong usage, 3 rejected by the gate,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

import aegan
from aegan.errors import AeganError
from aegan_pipelines.cli_batch import encode, reconstruct, score
from aegan_pipelines.cli_cluster import submit
from aegan_pipelines.cli_compile import compile_
from aegan_pipelines.cli_gc import gc
from aegan_pipelines.cli_models import models
from aegan_pipelines.cli_options import INTERRUPTED
from aegan_pipelines.cli_run import run
from aegan_pipelines.cli_runs import runs
from aegan_pipelines.cli_sample import sample
from aegan_pipelines.cli_schedule import schedule
from aegan_pipelines.cli_serving import serve_manifest
from aegan_pipelines.cli_sweep import sweep
from aegan_pipelines.cli_watch import watch
from aegan_pipelines.doctor.command import doctor


class _Group(click.Group):
    """Turns expected errors into one message and an exit code of 1, Ctrl-C into one of 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AeganError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # `aegan … | head` closed early
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the interpreter's last flush)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(aegan.__version__, prog_name="aegan")
def main() -> None:
    """Train autoencoders and GANs on your data as a Kubeflow pipeline, and use what was published."""


for command in (
    *(run, sweep, compile_, submit, runs, schedule, watch, doctor),
    *(models, sample, encode, score, reconstruct),
):
    main.add_command(command)
models.add_command(gc)
models.add_command(serve_manifest)
