"""What several commands share. Nothing heavy is imported here: `aegan --help` must be instant."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from aegan.errors import ConfigError, DataError, DependencyError

DEFAULT_ROOT = "aegan-root"
INTERRUPTED = 130  # exit code

Command = TypeVar("Command", bound=Callable[..., Any])

_CONNECTION = (
    ("--host", "URL", "Address of Kubeflow Pipelines (or AEGAN_HOST, or the context file)."),
    ("--namespace", "NAME", "Namespace of a multi-user Kubeflow (or AEGAN_NAMESPACE)."),
    ("--token-file", "PATH", "A file that holds a bearer token (or AEGAN_TOKEN: the token)."),
    (
        "--cookie-file",
        "PATH",
        "A file that holds a session cookie: oauth2_proxy_kubeflow=VALUE, or authservice_session=VALUE"
        " of an older Kubeflow (or AEGAN_COOKIE: the cookie).",
    ),
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


ROOT_HELP = "Folder or gs:// path for all outputs."
cluster_root_option = click.option(
    "--root", help="gs:// path for all outputs (or `root` of the context file)."
)
registry_root_option = click.option(
    "--root", default=DEFAULT_ROOT, show_default=True, help="Folder or gs:// path of the registry."
)
any_root_option = click.option(
    "--root",
    help=f"{ROOT_HELP}  [default: {DEFAULT_ROOT}, or `root` of the context file for a cluster]",
)
no_cache_option = click.option(
    "--no-cache", is_flag=True, help="Compute every stage anew, checkpoints included."
)
follow_option = click.option(
    "--follow", is_flag=True, help="Wait, and show stages, retries and progress."
)
wait_option = click.option(
    "--wait", is_flag=True, help="Wait for the end; the exit code tells how it ended."
)
service_account_option = click.option(
    "--service-account", metavar="NAME", help="Kubernetes identity of the pods."
)
experiment_option = click.option(
    "--experiment",
    metavar="NAME",
    help="Experiment to file the run under.  [default: the configuration's name]",
)


parameter_option = click.option(
    "--parameter",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a parameter of the pipeline for this run alone, e.g. image=REGISTRY/aegan:1.",
)


def submit_options(command: Command) -> Command:
    """What a run on the cluster gets, how it is filed, and whether to wait for it."""
    filed = (service_account_option, experiment_option, parameter_option)
    for option in (follow_option, wait_option, *filed):
        command = option(command)
    return command


def read_parameters(given: Iterable[str], *, no_cache: bool) -> dict[str, str]:
    """The parameters of a run on a cluster, by name.

    Args:
        given: texts `NAME=VALUE`.
        no_cache: compute everything anew.

    Raises:
        UsageError: one of the texts is something else.
    """
    found = {"fresh": uuid.uuid4().hex} if no_cache else {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(
                f"--parameter {text}: expected NAME=VALUE, such as image=REGISTRY/aegan:1"
            )
        found[name] = value
    return found


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs, instead of text."
)


def print_json(facts: Any) -> None:
    """Print facts for programs, and as a person would write them."""
    click.echo(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False))


def width(names: Iterable[str], least: int) -> int:
    """Of a column that holds these names, and room after the longest."""
    return max([least, *(len(name) + 2 for name in names)])


@contextlib.contextmanager
def wrong_usage() -> Iterator[None]:
    """Let what is found wrong with options and arguments be wrong usage, with its exit code."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise click.UsageError(str(error)) from None


def reachable_root(settings: Any, root: str | None) -> str:
    """The root of runs on a cluster; see `platforms.check_root`.

    Raises:
        UsageError: the pods of some step cannot reach it.
    """
    from aegan_pipelines.platforms import check_root

    with wrong_usage():
        return check_root(settings, root)


def missing(what: str, extra: str, error: ImportError) -> DependencyError:
    """The error to raise where a part of the package that was not installed is needed."""
    return DependencyError(
        f"{what} needs a part that is not installed ({error.name}): pip install 'aegan[{extra}]'"
    )
