"""The commands about what was published: look, move aliases, verify, copy, sign."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import aegan
from aegan.narration import moment
from aegan_pipelines.cli_options import json_option, print_json, registry_root_option, width

if TYPE_CHECKING:
    from aegan.manifest import Manifest

SIGNED = {False: "not signed", True: "has a signature, unchecked: --public-key PEM checks whose"}


reason_option = click.option(
    "--reason", required=True, metavar="TEXT", help="Why; kept in the alias's history."
)
public_keys_option = click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="PEM",
    help="Also check that the holder of this key signed it; may be given several times.",
)


@click.group()
def models() -> None:
    """Look at what was published, promote it, take it elsewhere.

    MODEL is ROOT/models/NAME@ALIAS, …@VERSION or …@DIGEST, for example demo/models/digits@champion.
    """


def _resolved(model: str) -> tuple[aegan.Registry, str, str, Manifest]:
    """Registry, name, version and manifest of what a person wrote."""
    from aegan.references import parse_reference

    root, name, reference = parse_reference(model)
    registry = aegan.Registry(root)
    return registry, name, *registry.find(name, reference)


def _trust(public_keys: tuple[str, ...]) -> aegan.Trust | None:
    return aegan.Trust(list(public_keys)) if public_keys else None


@models.command("list")
@registry_root_option
@json_option
def list_(root: str, as_json: bool) -> None:
    """List models, versions and aliases."""
    registry = aegan.Registry(root)
    rows: list[dict[str, Any]] = []
    damaged = False
    for name in registry.names():
        aliases, broken = registry.readable_aliases(name)
        for error in broken:  # the others are still worth listing
            damaged = True
            click.echo(f"error: {error}", err=True)
        for version in registry.versions(name):
            pointing = [alias for alias, target in aliases.items() if target.version == version]
            rows.append({"name": name, "version": version, "aliases": pointing})
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo(f"no models are published in {root}", err=True)
    else:
        wide = width((row["name"] for row in rows), 24)
        for row in rows:
            aliased = " ".join(sorted(row["aliases"]))
            click.echo(f"{row['name']:<{wide}}{row['version']}  {aliased}".rstrip())
    sys.exit(1 if damaged else 0)


@models.command()
@click.argument("model")
@json_option
def show(model: str, as_json: bool) -> None:
    """Show a version: where it is, what it reached, what it consists of, what named it."""
    from aegan_pipelines.summary import describe_version, version_facts

    facts = version_facts(model)
    for error in facts["damaged_aliases"]:
        click.echo(f"warning: {error}", err=True)
    if as_json:
        print_json(facts)
    else:
        click.echo(describe_version(facts))


@models.command()
@click.argument("model")
@click.option("--to", "alias", default="champion", show_default=True, help="The alias to move.")
@reason_option
@click.option(
    "--force", is_flag=True, help="Promote even if the gate did not pass it; this is recorded."
)
@json_option
def promote(model: str, alias: str, reason: str, force: bool, as_json: bool) -> None:
    """Point an alias at a version that the gate passed."""
    registry, name, version, _ = _resolved(model)
    before, _ = registry.readable_aliases(name)
    target = registry.promote(name, version, alias, reason=reason, force=force)
    _tell(name, alias, target, as_json, moved=before.get(alias) != target)


@models.command()
@click.argument("model")
@reason_option
@json_option
def rollback(model: str, reason: str, as_json: bool) -> None:
    """Point an alias back at the version that it named before; MODEL is ROOT/models/NAME@ALIAS."""
    from aegan.references import parse_reference

    root, name, alias = parse_reference(model)
    target = aegan.Registry(root).rollback(name, alias, reason=reason)
    _tell(name, alias, target, as_json, moved=True)


def _tell(name: str, alias: str, target: Any, as_json: bool, *, moved: bool) -> None:
    if as_json:
        print_json(_move(target) | {"moved": moved})
    elif not moved:
        click.echo(
            f"{name}@{alias} is {target.version} already, since {moment(target.at)} by {target.by}:"
            f" {target.reason}{_forced(target.forced)}\nnothing moved, and no reason was recorded"
        )
    else:
        before = f", before {target.previous}" if target.previous else ""
        click.echo(f"{name}@{alias} is {target.version}{before}{_forced(target.forced)}")


def _forced(forced: bool) -> str:
    return " (forced)" if forced else ""


def _move(target: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(target).items() if key != "history"}


@models.command()
@click.argument("model")
@public_keys_option
def verify(model: str, public_keys: tuple[str, ...]) -> None:
    """Check every file of a version against its manifest, and who signed that.

    MODEL may also be a folder that a version was pulled into.
    """
    from aegan import pulled
    from aegan_pipelines.display import transfers_shown

    trust = _trust(public_keys)
    if (folder := pulled.folder_of(model)) is not None:
        manifest = pulled.verify(folder)
        what = f"{manifest.name} in {model}"
        signature = pulled.signature(folder)
        signer = trust and pulled.check_trust(folder, manifest, trust)
    else:
        registry, name, version, expected = _resolved(model)
        with transfers_shown("verify"):
            manifest = registry.verify(name, version, expected)
        what = f"{name} {version}"
        signature = registry.signature(name, version)
        signer = trust and registry.check_trust(name, version, manifest, trust)
    signed = f"signed by {signer}" if signer else SIGNED[signature is not None]
    files = len(manifest.files)
    click.echo(f"{what}: {files} files as published, root digest {manifest.digest}, {signed}")


@models.command()
@click.argument("model")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to create."
)
@public_keys_option
def pull(model: str, output: Path, public_keys: tuple[str, ...]) -> None:
    """Copy a version into a new folder, every file checked; it appears whole or not at all."""
    from aegan_pipelines.display import transfers_shown

    trust = _trust(public_keys)
    registry, name, version, manifest = _resolved(model)
    signed = ""
    if trust is not None:  # before anything appears
        signed = f", signed by {registry.check_trust(name, version, manifest, trust)}"
    with transfers_shown("pull"):
        registry.pull(name, version, output, manifest, trust=trust)
    click.echo(f"{name} {version} is in {output}{signed}")


@models.command()
@click.argument("model")
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Private key, PEM.")
def sign(model: str, key: Path) -> None:
    """Check every file of a version, then sign its manifest with an elliptic-curve key.

    The password of an encrypted key is taken from AEGAN_KEY_PASSWORD.
    """
    registry, name, version, _ = _resolved(model)
    registry.sign(name, version, key, os.environ.get("AEGAN_KEY_PASSWORD"))
    click.echo(f"{name} {version} is signed: {registry.uri(name, version)}/model.sig")
