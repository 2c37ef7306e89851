"""The commands about what was published: look, move aliases, verify, copy, sign, clean up."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

import aegan
from aegan_pipelines.cli_options import DEFAULT_ROOT, json_option

SIGNED = {False: "not signed", True: "has a signature, unchecked: --public-key PEM checks whose"}
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> datetime.timedelta:
    """The duration that a number and a unit mean, such as 12h or 30d."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if match is None:
        raise click.BadParameter(
            f"{text!r}: expected a number and a unit, such as 30m, 12h, 30d or 4w"
        )
    return datetime.timedelta(**{UNITS[match[2]]: int(match[1])})


root_option = click.option(
    "--root", default=DEFAULT_ROOT, show_default=True, help="Folder or gs:// path of the registry."
)
reason_option = click.option("--reason", required=True, metavar="TEXT", help="Is recorded.")
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


def _resolved(model: str) -> tuple[aegan.Registry, str, str, str]:
    """Registry, name, version and root digest of what a person wrote."""
    from aegan.references import parse_reference

    root, name, reference = parse_reference(model)
    registry = aegan.Registry(root)
    return registry, name, *registry.resolve(name, reference)


def _trust(public_keys: tuple[str, ...]) -> aegan.Trust | None:
    return aegan.Trust(list(public_keys)) if public_keys else None


def _print(facts: Any) -> None:
    click.echo(json.dumps(facts, indent=2, sort_keys=True))


@models.command("list")
@root_option
@json_option
def list_(root: str, as_json: bool) -> None:
    """List models, versions and aliases."""
    registry = aegan.Registry(root)
    rows = []
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
@json_option
def show(model: str, as_json: bool) -> None:
    """Show a version: where it is, what it reached, what it consists of, what named it."""
    from aegan_pipelines.summary import describe_version, version_facts

    facts = version_facts(model)
    click.echo(json.dumps(facts, indent=2, sort_keys=True) if as_json else describe_version(facts))


@models.command()
@click.argument("model")
@click.option("--to", "alias", default="champion", show_default=True, help="The alias to move.")
@reason_option
@click.option("--force", is_flag=True, help="Also if the gate did not pass it; is recorded.")
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
        _print(_move(target) | {"moved": moved})
    elif not moved:
        click.echo(
            f"{name}@{alias} is {target.version} already, since {target.at[:19]}Z by {target.by}:"
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
        registry, name, version, digest = _resolved(model)
        with transfers_shown("verify"):
            manifest = registry.verify(name, version, digest)
        what = f"{name} {version}"
        signature = registry.signature(name, version)
        signer = trust and registry.check_trust(name, version, manifest, trust)
    signed = f"signed by {signer}" if signer else SIGNED[signature is not None]
    files = len(manifest.files)
    click.echo(f"{what}: {files} files as published, root digest {manifest.digest}, {signed}")


@models.command()
@click.argument("model")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A new folder."
)
@public_keys_option
def pull(model: str, output: Path, public_keys: tuple[str, ...]) -> None:
    """Copy a version into a new folder, every file checked; it appears whole or not at all."""
    from aegan_pipelines.display import transfers_shown

    trust = _trust(public_keys)
    registry, name, version, digest = _resolved(model)
    signed = ""
    if trust is not None:  # before anything appears
        manifest = registry.manifest(name, version, digest)
        signed = f", signed by {registry.check_trust(name, version, manifest, trust)}"
    with transfers_shown("pull"):
        registry.pull(name, version, output, digest, trust=trust)
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


@models.command()
@root_option
@click.option("--model", "names", multiple=True, metavar="NAME", help="Only this one.")
@click.option("--keep", required=True, type=click.IntRange(0), help="So many of the newest stay.")
@click.option(
    "--older-than",
    required=True,
    type=duration,
    metavar="DURATION",
    help="Younger ones stay.",
)
@click.option(
    "--grace",
    type=duration,
    metavar="DURATION",
    default="7d",
    show_default=True,
    help="What an alias has named since stays.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be deleted, and delete nothing.")
@json_option
def gc(
    root: str,
    names: tuple[str, ...],
    keep: int,
    older_than: datetime.timedelta,
    grace: datetime.timedelta,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete versions that nobody needs; see --dry-run first.

    Never what an alias names, named within --grace or goes back to by rollback, nor what is being
    published or promoted.
    """
    doomed = aegan.Registry(root).gc(
        keep=keep, older_than=older_than, grace=grace, names=names or None, dry_run=dry_run
    )
    if as_json:
        _print([vars(version) for version in doomed])
        return
    for version in doomed:
        click.echo(f"{version.name:<24}{version.version}  {version.reason}, {version.files} files")
    done = "would be deleted" if dry_run else "deleted"
    click.echo(f"{len(doomed)} versions {done}", err=True)
