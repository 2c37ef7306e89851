"""`aegan sweep`: a trial for each combination of settings, here or on a cluster."""

from __future__ import annotations

import uuid
from typing import Any

import click

from aegan_pipelines.cli_cluster import start
from aegan_pipelines.cli_options import (
    DEFAULT_ROOT,
    any_root_option,
    config_options,
    connection_options,
    json_option,
    no_cache_option,
    read_parameters,
    submit_options,
    wrong_usage,
)
from aegan_pipelines.cli_run import Record, conclude, watched

MOST_AT_ONCE_HERE = 2  # of kfp.local


@click.command()
@config_options
@click.option(
    "--grid",
    metavar="KEY=V1,V2,…",
    multiple=True,
    required=True,
    help="Values of a setting; each combination of several is a trial.",
)
@click.option(
    "--parallelism",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="Trials at the same time; on this machine at most two.",
)
@click.option(
    "--metric",
    default="frechet_distance",
    show_default=True,
    help="Metric that chooses the best trial; any of evaluation.thresholds.",
)
@any_root_option
@no_cache_option
@submit_options
@json_option
@connection_options
def sweep(
    config: str,
    overrides: tuple[str, ...],
    grid: tuple[str, ...],
    parallelism: int,
    metric: str,
    root: str | None,
    no_cache: bool,
    as_json: bool,
    parameter: tuple[str, ...],
    wait: bool,
    follow: bool,
    **options: str | None,
) -> None:
    """Try settings, compare, and publish the best if it passes the gate.

    Runs on this machine, or with --host on a cluster. Trials that fail do not end the others. Exit
    codes: 0 published, 3 the best was rejected, 1 failed (all trials did), 130 interrupted.
    """
    from aegan.sweep import check_metric, expand

    with wrong_usage():
        check_metric(metric)
    settings, trials = expand(config, overrides, grid)
    click.echo(f"{len(trials)} trials, the best by {metric}", err=True)
    if options["host"]:
        plan = (trials, metric, parallelism)
        start(
            settings,
            root,
            options,
            parameters=read_parameters(parameter, no_cache=no_cache),
            wait=wait,
            follow=follow,
            as_json=as_json,
            sweep=plan,
        )
        return
    _refuse_cluster_options(parameter=parameter, wait=wait, follow=follow, **options)
    if parallelism > MOST_AT_ONCE_HERE:
        click.echo(f"note: here, {MOST_AT_ONCE_HERE} trials run at the same time", err=True)
    place, fresh = root or DEFAULT_ROOT, uuid.uuid4().hex if no_cache else ""

    def work(**how: Any) -> Record:
        from aegan_pipelines.local_runner import sweep_locally

        return sweep_locally(settings, trials, metric, parallelism, place, fresh=fresh, **how)

    conclude(watched(work, no_cache=no_cache), place, as_json=as_json)


def _refuse_cluster_options(**options: Any) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: for a sweep on a cluster; expected --host URL with it, or leave it out"
        )
