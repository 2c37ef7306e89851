"""`aegan watch`: a run when the data has changed; for a CronJob."""

from __future__ import annotations

import click

from aegan_pipelines.cli_cluster import open_cluster
from aegan_pipelines.cli_options import (
    cluster_root_option,
    config_options,
    connection_options,
    experiment_option,
    json_option,
    missing,
    print_json,
    reachable_root,
    service_account_option,
)

_SAYINGS = {
    "unchanged": "nothing changed since run {run_id}",
    "too-little": "{new_bytes:,} bytes in {new_files} files are new: too little for a run",
    "submitted": "{new_bytes:,} bytes in {new_files} files are new: run {run_id}",
    "elsewhere": "another watcher submits a run for this at the moment",
}


@click.command()
@config_options
@cluster_root_option
@experiment_option
@service_account_option
@click.option(
    "--min-bytes", default=0, type=click.IntRange(0), help="Least bytes in new and changed files."
)
@click.option(
    "--min-files", default=0, type=click.IntRange(0), help="Least number of new and changed files."
)
@json_option
@connection_options
def watch(
    config: str,
    overrides: tuple[str, ...],
    root: str | None,
    min_bytes: int,
    min_files: int,
    as_json: bool,
    **options: str | None,
) -> None:
    """Submit a run if data.source changed since the last one submitted here.

    Only the source's listing is read; a changed configuration alone submits nothing. Once done,
    doing it again does nothing: run it every so often, as a CronJob.
    """
    from aegan.config_file import load_config

    settings = load_config(config, overrides)
    api, context = open_cluster(options)
    try:
        from aegan_pipelines import watching

        found = watching.watch(
            api,
            settings,
            reachable_root(settings, root or context.root),
            context,
            min_bytes=min_bytes,
            min_files=min_files,
        )
    except ImportError as error:
        raise missing("submitting pipelines", "pipelines", error) from None
    if as_json:
        print_json(vars(found))
    else:
        click.echo(_SAYINGS[found.outcome].format(**vars(found)))
