"""The command line. Heavy modules are imported inside commands: `aegan --help` must be instant.

Exit codes: 0 done (for `run`: published), 1 failed, 2 wrong usage, 3 rejected by the gate,
130 interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import aegan
from aegan.errors import AeganError, DependencyError

REJECTED = 3
DEFAULT_ROOT = "aegan-root"

Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns expected errors into one message and an exit code of 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AeganError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:  # `aegan … | head` closed early
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the interpreter's last flush)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(aegan.__version__, prog_name="aegan")
def main() -> None:
    """Train autoencoders and GANs on your data as a Kubeflow pipeline, and use what was published."""


def _config_options(command: Command) -> Command:
    command = click.argument("config", metavar="CONFIG|PRESET")(command)
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override a setting, e.g. gan.steps=500.",
    )(command)


@main.command()
@_config_options
@click.option(
    "--root", default=DEFAULT_ROOT, show_default=True, help="Folder or gs:// path for all outputs."
)
@click.option("--no-cache", is_flag=True, help="Compute every stage anew, checkpoints included.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the run's record instead of a summary."
)
def run(config: str, overrides: tuple[str, ...], root: str, no_cache: bool, as_json: bool) -> None:
    """Run the whole pipeline on this machine. Running it again continues where it stopped."""
    from aegan.config_file import load_config

    settings = load_config(config, overrides)
    # Any text that was never used before makes every stage compute its outputs anew.
    record = _run(settings, root, fresh=uuid.uuid4().hex if no_cache else "")
    if as_json:
        click.echo(json.dumps(record, indent=2, sort_keys=True))
    elif record["status"] in ("published", "rejected"):
        from aegan_pipelines.summary import summarize

        click.echo(summarize(record, root))
    else:
        click.echo(f"error: the run failed; its whole log is {record['log']}", err=True)
    sys.exit({"published": 0, "rejected": REJECTED}.get(record["status"], 1))


def _run(settings: Any, root: str, *, fresh: str) -> dict[str, Any]:
    try:
        from aegan_pipelines.local_runner import run_locally
        from aegan_pipelines.pipeline import build  # noqa: F401 (fails early without kfp)

        if importlib.util.find_spec("tensorflow") is None:  # found out now, not in the second stage
            raise ImportError("TensorFlow", name="tensorflow")
    except ImportError as error:
        raise _missing("running pipelines", "train,pipelines", error) from None
    from rich.console import Console

    from aegan_pipelines.display import Display

    console = Console(stderr=True)
    display = Display(console)
    for number in (signal.SIGTERM, signal.SIGHUP):  # end the driver's processes, too
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        return run_locally(
            settings,
            root,
            fresh=fresh,
            show=display.show,
            progress_seconds=0.5 if console.is_terminal else 10.0,
        )
    except KeyboardInterrupt:
        display.close()
        click.echo("interrupted; the same command continues from here", err=True)
        sys.exit(130)
    finally:
        display.close()


@main.command("compile")
@_config_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The package to write (.yaml).",
)
@click.option("--root", help="Default of the pipeline's parameter `root`.")
def compile_(config: str, overrides: tuple[str, ...], output: Path, root: str | None) -> None:
    """Write the pipeline as a package for a Kubeflow cluster."""
    from aegan.config_file import load_config

    settings = load_config(config, overrides)
    if output.suffix not in (".yaml", ".yml"):
        raise click.UsageError(f"-o {output}: expected a name ending in .yaml")
    try:
        from aegan_pipelines.pipeline import compile_package
    except ImportError as error:
        raise _missing("compiling pipelines", "pipelines", error) from None
    if root is not None and not root.startswith(("gs://", "/")):
        raise click.UsageError(
            f"--root {root}: pods do not share your folder; expected gs://bucket/path, or the absolute"
            " path of a volume that every step mounts"
        )
    source = settings.data.source
    if source != "digits" and not source.startswith("gs://"):
        click.echo(f"note: pods look for data.source in their own file system: {source}", err=True)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        compile_package(settings, output, root)
    except OSError as error:
        raise AeganError(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"wrote {output}", err=True)


@main.command()
@click.argument("model")
@click.option(
    "-n", "count", default=64, show_default=True, type=click.IntRange(1), help="How many."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), help="The same seed gives the same samples."
)
@click.option("--label", type=int, help="Only of this class (with gan.conditional).")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A .png (grid) or .npz."
)
def sample(model: str, count: int, seed: int | None, label: int | None, output: Path) -> None:
    """Draw new examples from a model.

    MODEL is ROOT/models/NAME@ALIAS or …@VERSION, for example demo/models/digits@champion.
    """
    if output.suffix.lower() not in (".png", ".npz"):
        raise click.UsageError(f"-o {output}: expected a name ending in .png or .npz")
    from aegan_pipelines.quiet import quiet_stderr
    from aegan_pipelines.sampling import write_samples

    with quiet_stderr():
        write_samples(aegan.load(model), count, seed, output, label)
    click.echo(f"wrote {count} samples to {output}", err=True)


@main.group()
def models() -> None:
    """Look at what was published."""


@models.command("list")
@click.option(
    "--root", default=DEFAULT_ROOT, show_default=True, help="Folder or gs:// path of the registry."
)
@click.option("--json", "as_json", is_flag=True)
def list_(root: str, as_json: bool) -> None:
    """List models, versions and aliases."""
    registry = aegan.Registry(root)
    rows = []
    damaged = False
    for name in registry.names():
        try:
            aliases = registry.aliases(name)
        except AeganError as error:  # the others are still worth listing
            aliases, damaged = {}, True
            click.echo(f"error: {error}", err=True)
        for version in registry.versions(name):
            pointing = [alias for alias, target in aliases.items() if target.version == version]
            rows.append({"name": name, "version": version, "aliases": pointing})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(f"no models are published in {root}", err=True)
    else:
        for row in rows:
            aliased = " ".join(sorted(row["aliases"]))
            click.echo(f"{row['name']:<24}{row['version']}  {aliased}".rstrip())
    sys.exit(1 if damaged else 0)


@models.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True)
def show(model: str, as_json: bool) -> None:
    """Show a version: where it is, what it reached, what it consists of."""
    from aegan_pipelines.summary import describe_version, version_facts

    facts = version_facts(model)
    click.echo(json.dumps(facts, indent=2, sort_keys=True) if as_json else describe_version(facts))


@models.command()
@click.argument("model")
def verify(model: str) -> None:
    """Check every file of a version against its manifest."""
    import tempfile

    from aegan.references import parse_reference

    root, name, reference = parse_reference(model)
    registry = aegan.Registry(root)
    version, digest = registry.resolve(name, reference)
    with tempfile.TemporaryDirectory() as scratch:
        registry.fetch(name, version, Path(scratch), digest)
    files = len(registry.manifest(name, version).files)
    click.echo(f"{name} {version}: {files} files as published, root digest {digest}")


def _missing(what: str, extra: str, error: ImportError) -> DependencyError:
    return DependencyError(
        f"{what} needs a part that is not installed ({error.name}): pip install 'aegan[{extra}]'"
    )
