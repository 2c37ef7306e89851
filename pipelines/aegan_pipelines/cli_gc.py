"""`aegan models gc`: deleting versions that nobody needs."""

from __future__ import annotations

import datetime
import re

import click

import aegan
from aegan_pipelines.cli_options import json_option, print_json, registry_root_option, width

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> datetime.timedelta:
    """The duration that a number and a unit mean, such as 12h or 30d."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if match is None:
        raise click.BadParameter(
            f"{text!r}: expected a number and a unit, such as 30m, 12h, 30d or 4w"
        )
    return datetime.timedelta(**{UNITS[match[2]]: int(match[1])})


@click.command()
@registry_root_option
@click.option(
    "--model",
    "names",
    multiple=True,
    metavar="NAME",
    help="Look at this model only; may be given several times.",
)
@click.option(
    "--keep",
    required=True,
    type=click.IntRange(0),
    help="Keep this many of the newest versions of each model.",
)
@click.option(
    "--older-than",
    required=True,
    type=duration,
    metavar="DURATION",
    help="Delete only versions older than this.",
)
@click.option(
    "--grace",
    type=duration,
    metavar="DURATION",
    default="7d",
    show_default=True,
    help="Keep what an alias named within this time.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be deleted, and delete nothing.")
@json_option
def gc(
    root: str,
    names: tuple[str, ...],
    keep: int,
    older_than: datetime.timedelta,
    grace: datetime.timedelta,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete versions that nobody needs; see --dry-run first.

    Never what an alias names, named within --grace or goes back to by rollback, nor what is being
    published or promoted.
    """
    doomed = aegan.Registry(root).gc(
        keep=keep, older_than=older_than, grace=grace, names=names or None, dry_run=dry_run
    )
    if as_json:
        print_json([vars(version) for version in doomed])
        return
    wide = width((version.name for version in doomed), 24)
    for version in doomed:
        text = f"{version.version}  {version.reason}, {version.files} files"
        click.echo(f"{version.name:<{wide}}{text}")
    done = "would be deleted" if dry_run else "deleted"
    click.echo(f"{len(doomed)} versions {done}", err=True)
