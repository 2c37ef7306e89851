"""`aegan submit`: the pipeline on a cluster. Heavy modules are imported inside."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from aegan.errors import AeganError
from aegan_pipelines.cli_options import (
    INTERRUPTED,
    cluster_root_option,
    config_options,
    connection_options,
    exit_code,
    json_option,
    missing,
    no_cache_option,
    print_json,
    reachable_root,
    read_parameters,
    submit_options,
    wrong_usage,
)


def open_cluster(options: dict[str, str | None]) -> tuple[Any, Any]:
    """The context that options, environment and file make, and a server that was reached."""
    try:
        from aegan_pipelines.connection import check_server, connect, in_namespace
        from aegan_pipelines.context import read_context
    except ImportError as error:
        raise missing("reaching a cluster", "pipelines", error) from None
    context = read_context(**options)
    with wrong_usage():
        api = connect(context)
        return api, in_namespace(context, check_server(api))


@click.command()
@config_options
@cluster_root_option
@no_cache_option
@submit_options
@json_option
@connection_options
def submit(
    config: str,
    overrides: tuple[str, ...],
    root: str | None,
    no_cache: bool,
    parameter: tuple[str, ...],
    wait: bool,
    follow: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Run the pipeline on a Kubeflow cluster.

    Exit codes with --wait or --follow: 0 published, 3 rejected by the gate, 1 failed, 130
    interrupted.
    """
    from aegan.config_file import load_config

    settings = load_config(config, overrides)
    given = read_parameters(parameter, no_cache=no_cache)
    start(settings, root, options, parameters=given, wait=wait, follow=follow, as_json=as_json)


def start(
    settings: Any,
    root: str | None,
    options: dict[str, str | None],
    *,
    parameters: dict[str, str],
    wait: bool,
    follow: bool,
    as_json: bool,
    sweep: tuple[Any, str, int] | None = None,
) -> None:
    """Submit a run, tell of it, and follow it if that is wanted.

    Args:
        settings: the configuration.
        root: as given, or None.
        options: for `open_cluster`.
        parameters: of the pipeline, but for `root`.
        wait: for the end.
        follow: wait, and show what happens.
        as_json: for programs.
        sweep: trials, metric and parallelism, to run a sweep.
    """
    api, context = open_cluster(options)
    root = reachable_root(settings, root or context.root)
    done = _submitted(api, context, settings, root, parameters=parameters, sweep=sweep)
    package = done.package
    what = "uploaded" if package.uploaded else "there already:"
    click.echo(f"{what} pipeline {package.pipeline}, version {package.version}", err=True)
    facts = {
        "run_id": done.run_id,
        "name": done.name,
        "link": done.link,
        "pipeline": package.pipeline,
        "version": package.version,
        "uploaded": package.uploaded,
        "root": root,
    }
    if not (wait or follow):
        if as_json:
            print_json(facts)
        else:
            click.echo(f"{done.run_id}\n{done.link}")
        return
    click.echo(f"run {done.run_id}  {done.link}", err=True)
    finish(api, done.run_id, root, quiet=not follow, facts=facts if as_json else None)


def _submitted(
    api: Any,
    context: Any,
    settings: Any,
    root: str,
    *,
    parameters: dict[str, str],
    sweep: tuple[Any, str, int] | None,
) -> Any:
    """Submit a run or a sweep; see `start`."""
    from aegan_pipelines.platforms import local_source_note

    source = parameters.get("data_source") or settings.data.source
    if (note := local_source_note(source)) is not None:
        click.echo(f"note: {note}", err=True)
    try:
        from aegan_pipelines import submission

        sweeping = None if sweep is None else submission.compiled_sweep(settings, *sweep)
        return submission.submit(
            api, settings, root, context, parameters=parameters, sweep=sweeping
        )
    except KeyboardInterrupt:
        click.echo(
            "the server had not answered: a run may have begun, see `aegan runs list`", err=True
        )
        raise
    except ImportError as error:
        raise missing("submitting pipelines", "pipelines", error) from None


def finish(
    api: Any, run_id: str, root: str, *, quiet: bool, facts: dict[str, Any] | None
) -> NoReturn:
    """Follow a run to its end, tell how it ended, and exit.

    Args:
        api: of the cluster.
        run_id: of the run.
        root: where its outputs lie.
        quiet: tell nothing on the way.
        facts: printed as JSON with the outcome, in place of a summary.
    """
    from rich.console import Console

    from aegan_pipelines.display import Display
    from aegan_pipelines.following import follow

    display = Display(Console(stderr=True))

    def show(stage: str, event: str, text: str) -> None:
        if not quiet or event in ("error", "warning"):
            display.show(stage, event, text)

    try:
        ended = follow(api, run_id, show)
    except KeyboardInterrupt:
        display.close()
        _leave_or_cancel(api, run_id)
        sys.exit(INTERRUPTED)
    finally:
        display.close()
    if facts is not None:
        print_json(facts | ended._asdict())
    elif ended.status not in ("published", "rejected"):
        click.echo(f"error: {_why(run_id, ended.state, ended.record)}", err=True)
    elif ended.record:
        from aegan_pipelines.summary import summarize

        click.echo(summarize(ended.record, root))
    else:
        click.echo(_without_record(ended.status, root))
    sys.exit(exit_code(ended.status))


def _without_record(status: str, root: str) -> str:
    """How a run ended whose root, a volume of the cluster's for example, cannot be read from here."""
    passed = status == "published"
    what = f"a model, into {root}" if passed else "nothing: the gate rejected this model"
    return f"published  {what} (by the run's steps; scores and report lie in {root})"


def _why(run_id: str, state: str, record: dict[str, Any] | None) -> AeganError:
    if record is None and state == "SUCCEEDED":
        return AeganError(
            f"run {run_id} SUCCEEDED, but its record cannot be read from here: whether it published is"
            " not known. Check --root and your access to it"
        )
    if record is None:
        reason = "its record cannot be read from here, check --root and your access to it"
    else:
        reason = record.get("error") or "no step left an error"
    return AeganError(
        f"run {run_id} {state}: {reason}. `aegan runs logs {run_id}` shows more, `aegan runs resume"
        f" {run_id}` goes on where it stopped"
    )


def _leave_or_cancel(api: Any, run_id: str) -> None:
    from aegan_pipelines import cluster

    asked = sys.stdin.isatty() and sys.stderr.isatty()
    try:
        leave = not asked or click.confirm("\nleave the run going?", default=True, err=True)
    except click.Abort:  # Ctrl-C again: the question was answered with as little as can be
        leave = True
    if leave:
        click.echo(f"the run goes on; to end it: aegan runs cancel {run_id}", err=True)
    else:
        click.echo(f"the run is {cluster.cancel_run(api, run_id)}", err=True)
