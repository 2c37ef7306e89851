"""`aegan compile`. Heavy modules are imported inside: `aegan --help` must be instant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aegan_pipelines.cli_options import config_options, missing, reachable_root


@click.command("compile")
@config_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The package to write (.yaml).",
)
@click.option("--root", help="Default of the pipeline's parameter `root`.")
@click.option(
    "--platform",
    default="kubeflow",
    show_default=True,
    type=click.Choice(["kubeflow", "vertex"]),
    help="What the package is for.",
)
def compile_(
    config: str, overrides: tuple[str, ...], output: Path, root: str | None, platform: Any
) -> None:
    """Write the pipeline as a package for a Kubeflow cluster or Vertex AI Pipelines."""
    from aegan.config_file import load_config
    from aegan.transfers import writable

    settings = load_config(config, overrides)
    if output.suffix not in (".yaml", ".yml"):
        raise click.UsageError(f"-o {output}: expected a name ending in .yaml")
    try:
        from aegan_pipelines.pipeline import compile_package
        from aegan_pipelines.platforms import notes
    except ImportError as error:
        raise missing("compiling pipelines", "pipelines", error) from None
    if root is not None and platform == "kubeflow":
        reachable_root(settings, root)
    with writable(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        compile_package(settings, output, root, platform)
    for note in notes(settings):
        click.echo(f"note: {note}", err=True)
    click.echo(f"wrote {output}", err=True)
