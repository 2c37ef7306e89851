"""The command `aegan doctor`. Like all of the command line it imports what is heavy when it runs."""

from __future__ import annotations

import json
import sys

import click


@click.command()
@click.argument("config", metavar="[CONFIG|PRESET]", required=False)
@click.option(
    "--root", default="aegan-root", show_default=True, help="Folder or gs:// path for all outputs."
)
@click.option("--host", envvar="AEGAN_HOST", help="Kubeflow's API server [AEGAN_HOST].")
@click.option("--namespace", help="Where runs are to be (default: the kubeconfig's).")
@click.option(
    "--token-file", help="A file with a bearer token for the API server (or set AEGAN_TOKEN)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(
    config: str | None,
    root: str,
    host: str | None,
    namespace: str | None,
    token_file: str | None,
    as_json: bool,
) -> None:
    """Check everything that a run needs, and say what to do about what is not right.

    What is not there, such as a cluster, is said and left out. Exit code 1 if a check failed.
    """
    from aegan_pipelines.doctor.examine import Request, examine

    checks = []
    for check in examine(Request(config, root, host, namespace, token_file)):
        checks.append(check)
        if not as_json:
            click.echo(check.line())
    counts = {
        status: sum(c.status == status for c in checks) for status in ("ok", "warn", "fail", "skip")
    }
    if as_json:
        tree = {"checks": [check.as_dict() for check in checks], "failed": counts["fail"]}
        click.echo(json.dumps(tree, indent=2, ensure_ascii=False))
    else:
        text = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
        click.echo(text, err=True)
    sys.exit(1 if counts["fail"] else 0)
