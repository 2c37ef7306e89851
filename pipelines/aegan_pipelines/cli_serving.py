"""`aegan models serve-manifest`: what KServe needs to serve a version."""

from __future__ import annotations

import click

from aegan_pipelines.cli_options import wrong_usage

RUNTIMES, PARTS = ("tensorflow", "onnx"), ("autoencoder", "generator")


@click.command("serve-manifest")
@click.argument("model")
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default="tensorflow",
    show_default=True,
    help="TensorFlow Serving (protocol v1), or Triton with the ONNX models (protocol v2).",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    default="autoencoder",
    show_default=True,
    help="The SavedModel that TensorFlow Serving serves; Triton serves all functions.",
)
@click.option("--name", help="Of the InferenceService.  [default: the model's]")
@click.option(
    "--service-account",
    "account",
    metavar="NAME",
    default="aegan-pipeline",
    show_default=True,
    help="Kubernetes identity that may read the bucket.",
)
def serve_manifest(model: str, runtime: str, part: str, name: str | None, account: str) -> None:
    """Print a KServe InferenceService for a version, for `kubectl apply -f -`.

    MODEL is gs://…/models/NAME@ALIAS or …@VERSION. An alias is resolved now: the version that it names
    at this moment is served, by its immutable URI, until another manifest is applied.
    """
    import yaml

    from aegan_pipelines.serving import inference_service

    with wrong_usage():
        tree = inference_service(model, runtime, part=part, name=name, account=account)
    click.echo(yaml.safe_dump(tree, sort_keys=False), nl=False)
