"""The command `aegan doctor`. Like all of the command line it imports what is heavy when it runs."""

from __future__ import annotations

import sys

import click

from aegan_pipelines.cli_options import (
    any_root_option,
    connection_options,
    json_option,
    overrides_option,
    print_json,
)


@click.command()
@click.argument("config", metavar="[CONFIG|PRESET]", required=False)
@overrides_option
@any_root_option
@json_option
@connection_options
def doctor(
    config: str | None,
    overrides: tuple[str, ...],
    root: str | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Check everything that a run needs, and say what to do about what is not right.

    What is not there, such as a cluster, is said and left out. Exit code 1 if a check failed.
    """
    from aegan_pipelines.doctor.examine import Request, examine

    if overrides and config is None:
        raise click.UsageError("--set overrides a setting of CONFIG, but none was given")
    checks = []
    for check in examine(Request(config, overrides, root, options)):
        checks.append(check)
        if not as_json:
            click.echo(check.line())
    counts = {
        status: sum(c.status == status for c in checks) for status in ("ok", "warn", "fail", "skip")
    }
    if as_json:
        tree = {"checks": [check.as_dict() for check in checks], "failed": counts["fail"]}
        print_json(tree)
    else:
        text = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
        click.echo(text, err=True)
    sys.exit(1 if counts["fail"] else 0)
