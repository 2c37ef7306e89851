"""`aegan sample`: new examples, marked as synthetic. Heavy modules are imported inside."""

from __future__ import annotations

from pathlib import Path

import click

from aegan_pipelines.cli_options import wrong_usage


@click.command()
@click.argument("model")
@click.option(
    "-n", "count", default=64, show_default=True, type=click.IntRange(1), help="How many."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), help="The same seed gives the same samples."
)
@click.option("--label", type=int, help="Only of this class (with gan.conditional).")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A .png (grid), .npz or .parquet, or a folder for a PNG of each.",
)
def sample(model: str, count: int, seed: int | None, label: int | None, output: Path) -> None:
    """Draw new examples from a model; the file says that they are synthetic, and of which model.

    MODEL is ROOT/models/NAME@ALIAS, …@VERSION or …@DIGEST, for example demo/models/digits@champion, or
    the folder of a pulled version.
    """
    if output.suffix.lower() not in ("", ".png", ".npz", ".parquet"):
        raise click.UsageError(
            f"-o {output}: expected a name ending in .png, .npz or .parquet, or none for a folder"
        )
    import aegan
    from aegan_pipelines.display import transfers_shown
    from aegan_pipelines.quiet import quiet_stderr
    from aegan_pipelines.sampling import check_output, write_samples

    with wrong_usage():
        check_output(output)
    with quiet_stderr() as stderr:
        with transfers_shown("load", stderr):
            loaded = aegan.load(model)
        write_samples(loaded, count, seed, output, label)
    click.echo(f"wrote {count} samples to {output}", err=True)
