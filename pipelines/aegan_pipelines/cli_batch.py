"""`aegan encode`, `aegan score`, `aegan reconstruct`: files larger than memory. Heavy imports inside."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegan.narration import duration
from aegan_pipelines.cli_options import wrong_usage

if TYPE_CHECKING:
    from aegan.batch.run import Request

COMMANDS = {
    "encode": ("codes", "Write the codes of examples."),
    "score": (
        "scores",
        "Write the anomaly scores of examples: their squared reconstruction errors.",
    ),
    "reconstruct": ("reconstructions", "Write the reconstructions of examples, in raw units."),
}
HELP = """{}

    MODEL is ROOT/models/NAME@ALIAS, …@VERSION or …@DIGEST, or the folder of a pulled version. INPUT is
    an .npy, .npz, .csv or .parquet file of any size, or a folder of PNG and JPEG images. It is read in
    blocks; the columns of a table are kept. The same command goes on where it was interrupted.
    """


def _command(name: str) -> click.Command:
    plural, text = COMMANDS[name]

    @click.command(name, help=HELP.format(text), short_help=text)
    @click.argument("model")
    @click.argument("path", metavar="INPUT", type=click.Path(path_type=Path))
    @click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        help="A .parquet or .npz, or a folder for many .parquet files.",
    )
    @click.option(
        "--columns",
        metavar="NAME,NAME,…",
        default="",
        help="Columns that hold the examples; FIRST:LAST is a range. For .npz: the array's name."
        "  [default: all of numbers]",
    )
    @click.option(
        "--shard-rows", type=click.IntRange(1), help="Rows in each part.  [default: about 256 MB]"
    )
    @click.option(
        "--overwrite", is_flag=True, help="Replace what was made of another input or model."
    )
    def command(
        model: str, path: Path, output: Path, columns: str, shard_rows: int | None, overwrite: bool
    ) -> None:
        from aegan.batch.run import Request

        chosen = next(csv.reader([columns])) if columns else []
        start = time.monotonic()
        rows = _run(model, Request(name, path, output, chosen, shard_rows, overwrite))
        took = duration(time.monotonic() - start)
        click.echo(f"{plural} of {rows:,} rows are in {output}, after {took}", err=True)

    return command


def _run(model: str, request: Request) -> int:
    """Do what is wanted, with progress on a terminal or in a log."""
    from rich.console import Console

    import aegan
    from aegan.batch.run import check_places, run
    from aegan_pipelines.display import often, shown, transfers_shown
    from aegan_pipelines.quiet import quiet_stderr

    with wrong_usage():  # before a model is fetched
        check_places(request)
    console = Console(stderr=True)
    if console.is_terminal:
        often()
    with shown(console) as display:
        with quiet_stderr() as stderr, transfers_shown("load", stderr):
            loaded = aegan.load(model)
        return run(loaded, request, display.show)


encode, score, reconstruct = (_command(name) for name in COMMANDS)
