"""`aegan runs`: looking at runs on a cluster, ending them, going on with them."""

from __future__ import annotations

import click

from aegan.narration import moment
from aegan_pipelines.cli_cluster import finish, open_cluster
from aegan_pipelines.cli_options import (
    connection_options,
    follow_option,
    json_option,
    print_json,
    width,
)


@click.group()
def runs() -> None:
    """Look at runs on a cluster, cancel and resume them."""


@runs.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@json_option
@connection_options
def list_(limit: int, as_json: bool, **options: str | None) -> None:
    """List runs, the newest first."""
    import itertools

    from aegan_pipelines import cluster

    api, context = open_cluster(options)
    query = {"sort_by": "created_at desc", "namespace": context.namespace or ""}
    found = list(itertools.islice(cluster.pages(api, "/runs", "runs", **query), limit))
    keys = ("run_id", "created_at", "display_name")
    rows = [
        {key: run.get(key) for key in keys}
        | {"state": cluster.state_of(run), "finished_at": cluster.finished_at(run)}
        | {"error": cluster.unreadable(run)}
        for run in found
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"no runs at {api.host}", err=True)
    for row in rows:
        state, when = row["state"] or "-", moment(row["created_at"])
        told = f"error: {row['error']}" if row["error"] else row["display_name"]
        click.echo(f"{row['run_id']}  {state:<10}{when}  {told}")


@runs.command()
@click.argument("run_id")
@json_option
@connection_options
def show(run_id: str, as_json: bool, **options: str | None) -> None:
    """Show a run: its state, its steps, and what it led to."""
    from aegan_pipelines.run_facts import describe_run, run_facts

    api, _ = open_cluster(options)
    facts = run_facts(api, run_id)
    if as_json:
        print_json(facts)
    else:
        click.echo(describe_run(facts))


@runs.command()
@click.argument("run_id")
@json_option
@connection_options
def logs(run_id: str, as_json: bool, **options: str | None) -> None:
    """Show what the stages of a run said, as far as it lies in the run's root."""
    from aegan_pipelines import cluster
    from aegan_pipelines.run_details import details_of

    api, context = open_cluster(options)
    run = cluster.get_run(api, run_id)
    given = cluster.effective_parameters(api, run)
    where = context.namespace or "kubeflow"  # where one that has a single user keeps its runs
    pods = f"kubectl logs -n {where} -l pipeline/runid={run_id} -c main --tail=-1"
    try:
        lines = details_of(given, run_id, lambda *_: None).logs()
        if as_json:
            keys = ("stage", "at", "event", "text")
            print_json([dict(zip(keys, line, strict=True)) for line in lines])
        else:
            wide = width((line[0] for line in lines), 18)
            for stage, at, event, text in lines:
                click.echo(f"{moment(at)}  {stage:<{wide}}{event:<9}{text}".rstrip())
    finally:
        click.echo(f"the pods' own logs: {pods}", err=True)


@runs.command()
@click.argument("run_id")
@json_option
@connection_options
def cancel(run_id: str, as_json: bool, **options: str | None) -> None:
    """End a run. What its stages finished, and their checkpoints, stay."""
    from aegan_pipelines import cluster

    api, _ = open_cluster(options)
    state = cluster.cancel_run(api, run_id)
    if as_json:
        print_json({"run_id": run_id, "state": state})
    else:
        click.echo(f"{run_id} is {state}")


@runs.command()
@click.argument("run_id")
@follow_option
@json_option
@connection_options
def resume(run_id: str, follow: bool, as_json: bool, **options: str | None) -> None:
    """Go on with a run that failed or was cancelled: a new run reuses what that one finished."""
    from aegan_pipelines import cluster, submission

    api, context = open_cluster(options)
    going = submission.resume(api, run_id, context.namespace or "")
    facts = {"run_id": going, "link": cluster.link(api, going)}
    if follow:
        click.echo(f"run {going}  {facts['link']}", err=True)
        given = cluster.effective_parameters(api, cluster.get_run(api, going))
        root = str(given.get("root", ""))
        finish(api, going, root, quiet=False, facts=facts if as_json else None)
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{going}\n{facts['link']}")
