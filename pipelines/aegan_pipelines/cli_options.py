"""What several commands share. Nothing heavy is imported here: `aegan --help` must be instant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aegan.errors import ConfigError, DependencyError

DEFAULT_ROOT = "aegan-root"
INTERRUPTED = 130  # exit code

Command = TypeVar("Command", bound=Callable[..., Any])

_CONNECTION = (
    ("--host", "URL", "Of Kubeflow Pipelines (or AEGAN_HOST, or the context file)."),
    ("--namespace", "NAME", "Of a multi-user Kubeflow."),
    ("--token-file", "PATH", "A file that holds a bearer token (or AEGAN_TOKEN: the token)."),
    ("--cookie-file", "PATH", "A file that holds the session cookie of Dex."),
    ("--iap-client-id", "ID", "OAuth client of Google's Identity-Aware Proxy."),
)


def exit_code(status: str) -> int:
    """Of a run: 0 published, 3 rejected by the gate, 1 anything else."""
    return {"published": 0, "rejected": 3}.get(status, 1)


overrides_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a setting, e.g. gan.steps=500.",
)


def config_options(command: Command) -> Command:
    """The argument CONFIG and the option --set, as `config` and `overrides`."""
    return overrides_option(click.argument("config", metavar="CONFIG|PRESET")(command))


def connection_options(command: Command) -> Command:
    """How to reach the cluster; the values arrive as keywords for `read_context`."""
    for name, metavar, text in reversed(_CONNECTION):
        command = click.option(name, metavar=metavar, help=text)(command)
    return command


def submit_options(command: Command) -> Command:
    """How a run on the cluster is filed, and whether to wait for it."""
    for option in (
        click.option("--follow", is_flag=True, help="Wait, and show stages, retries and progress."),
        click.option(
            "--wait", is_flag=True, help="Wait for the end; the exit code tells how it ended."
        ),
        click.option("--service-account", metavar="NAME", help="Kubernetes identity of the pods."),
        click.option(
            "--experiment", metavar="NAME", help="To file the run under.  [default: its name]"
        ),
    ):
        command = option(command)
    return command


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs, instead of text."
)


def reachable_root(settings: Any, root: str | None) -> str:
    """The root of runs on a cluster; see `platforms.check_root`.

    Raises:
        UsageError: the pods of some step cannot reach it.
    """
    from aegan_pipelines.platforms import check_root

    try:
        return check_root(settings, root)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def missing(what: str, extra: str, error: ImportError) -> DependencyError:
    """The error to raise where a part of the package that was not installed is needed."""
    return DependencyError(
        f"{what} needs a part that is not installed ({error.name}): pip install 'aegan[{extra}]'"
    )
