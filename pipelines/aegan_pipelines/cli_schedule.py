"""`aegan schedule`: recurring runs on a cluster, as a file says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from aegan.errors import AeganError, ConfigError
from aegan.narration import moment
from aegan_pipelines.cli_cluster import open_cluster
from aegan_pipelines.cli_options import (
    connection_options,
    experiment_option,
    json_option,
    missing,
    print_json,
    service_account_option,
    width,
)


@click.group()
def schedule() -> None:
    """Train again and again: schedules on a cluster, from a file."""


@schedule.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--prune", is_flag=True, help="Delete schedules of this group that the file dropped.")
@click.option("--root", help="Root of schedules that name none (or `root` of the context file).")
@experiment_option
@service_account_option
@json_option
@connection_options
def apply(file: Path, dry_run: bool, prune: bool, as_json: bool, **options: str | None) -> None:
    """Make the cluster's schedules what FILE says. Applying it again changes nothing."""
    try:
        from aegan_pipelines import schedule_entries, scheduling
        from aegan_pipelines.context import read_context
        from aegan_pipelines.schedule_file import read_schedules, refuse
        from aegan_pipelines.schedule_obstacles import survey
        from aegan_pipelines.schedule_times import zone_warning
    except ImportError as error:
        raise missing("scheduling pipelines", "pipelines", error) from None

    content, now = read_schedules(file), datetime.now(UTC)
    wanted, mistakes = schedule_entries.prepare_all(content, read_context(**options), now)
    for entry in content.schedules:
        if (warning := zone_warning(entry, now)) is not None:
            click.echo(f"note: {warning}", err=True)
    try:
        api, context = open_cluster(options)
        changes, obstacles = survey(api, wanted, content.group, context.namespace or "", now)
    except (AeganError, click.UsageError):
        refuse(file, mistakes)  # which come first: they show without a cluster
        raise
    refuse(file, mistakes + obstacles)
    rows = [_row(change, now, prune) for change in changes]
    for change, row in zip(changes, rows, strict=True):
        if change.wanted and not change.wanted.schedule.paused and not row["next"]:
            click.echo(f"note: {change.name} fires no more: its times are past", err=True)
    if not as_json:
        _print_rows([(row["action"], row["name"], _following(row["next"])) for row in rows])
    if dry_run:
        click.echo("nothing was changed (--dry-run)", err=True)
    else:
        scheduling.carry_out(api, changes, context, prune=prune)
    if as_json:
        print_json(rows)


def _row(change: Any, now: datetime, prune: bool) -> dict[str, Any]:
    from aegan_pipelines.schedule_times import next_fires

    action = "delete" if change.action == "orphan" and prune else change.action
    paused = change.wanted is None or change.wanted.schedule.paused
    created = change.current["created_at"] if change.current else None
    fires = [] if paused else next_fires(change.wanted.body["trigger"], now, created=created)
    return {
        "action": action,
        "name": change.name,
        "next": [moment(time) for time in fires],
    }


def _print_rows(rows: list[tuple[str, str, str]]) -> None:
    """Lines of a word, a schedule's name and what there is to say of it."""
    wide = width((name for _, name, _ in rows), 26)
    for first, name, text in rows:
        click.echo(f"{first:<10}{name:<{wide}}{text}".rstrip())


def _following(fires: list[str]) -> str:
    return f"next {', '.join(fires)}" if fires else ""


@schedule.command("list")
@json_option
@connection_options
def list_(as_json: bool, **options: str | None) -> None:
    """List the cluster's schedules."""
    from aegan_pipelines import cluster, scheduled

    api, context = open_cluster(options)
    now = datetime.now(UTC)
    rows = [
        {
            "name": item.get("display_name"),
            "id": item["recurring_run_id"],
            "error": cluster.unreadable(item),
            "active": item.get("status") == scheduled.ENABLED,
            "group": scheduled.group_of(item),
            "next": _next(item, now) if item.get("status") == scheduled.ENABLED else [],
        }
        for item in scheduled.existing(api, context.namespace or "")
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"no schedules at {api.host}", err=True)
    states = {True: "active", False: "paused"}
    _print_rows(
        [
            ("broken", row["id"], f"error: {row['error']}")
            if row["error"]
            else (states[row["active"]], row["name"], _following(row["next"]))
            for row in rows
        ]
    )


def _next(item: dict[str, Any], now: datetime) -> list[str]:
    """Of any schedule on the cluster; nothing of one whose times only its maker can read."""
    from aegan_pipelines.schedule_times import next_fires

    try:
        fires = next_fires(item.get("trigger") or {}, now, created=item.get("created_at"))
    except ConfigError:
        return []
    return [moment(time) for time in fires]


@schedule.command()
@click.argument("name")
@connection_options
def pause(name: str, **options: str | None) -> None:
    """Let a schedule fire no more, until it is resumed or applied."""
    _set_enabled(name, False, options)


@schedule.command()
@click.argument("name")
@connection_options
def resume(name: str, **options: str | None) -> None:
    """Let a paused schedule fire again."""
    _set_enabled(name, True, options)


def _set_enabled(name: str, enabled: bool, options: dict[str, str | None]) -> None:
    from aegan_pipelines import scheduled

    api, context = open_cluster(options)
    found = scheduled.named(scheduled.existing(api, context.namespace or ""), name)
    if enabled:  # two are never active: an application that was killed may have left two
        is_active = any(item.get("status") == scheduled.ENABLED for item in found)
        found = [] if is_active else found[-1:]
    for item in found:
        scheduled.set_enabled(api, item, enabled)
    click.echo(f"{name} is {'active' if enabled else 'paused'}")


@schedule.command()
@click.argument("name")
@connection_options
def delete(name: str, **options: str | None) -> None:
    """Delete a schedule. Runs that it started go on."""
    from aegan_pipelines import scheduled

    api, context = open_cluster(options)
    for item in scheduled.named(scheduled.existing(api, context.namespace or ""), name):
        scheduled.delete(api, item)
    click.echo(f"{name} is deleted")


@schedule.command()
@click.argument("name")
@connection_options
def trigger(name: str, **options: str | None) -> None:
    """Run now what a schedule runs; prints the run's id and link."""
    from aegan_pipelines import cluster, scheduled

    api, context = open_cluster(options)
    namespace = context.namespace or ""
    found = scheduled.named(scheduled.existing(api, namespace), name)
    run_id = scheduled.run_now(api, found[-1], namespace)
    click.echo(f"{run_id}\n{cluster.link(api, run_id)}")
