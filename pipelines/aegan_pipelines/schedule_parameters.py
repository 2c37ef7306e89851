"""Parameters that a schedule or a run sets, checked as the server and the steps would."""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from aegan.config import Config
from aegan.config_file import validate, with_parameters
from aegan.errors import ConfigError
from aegan_pipelines.platforms import check_platform
from aegan_pipelines.rest import Json

OWN_PLACE = ("config", "root")  # which a schedule sets beside `parameters`
NEVER_EMPTY = ("image", "accelerator", "accelerator_count")


def of_package(package: bytes) -> Json:
    """Definitions of a compiled package's parameters, by name."""
    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # ten times as fast, where it is built in
    return of_spec(next(iter(yaml.load_all(package, Loader=loader))))


def of_spec(spec: Json) -> Json:
    """The same of a PipelineSpec as versions on the server hold it."""
    root = dict(spec.get("pipeline_spec") or spec).get("root") or {}
    return dict((root.get("inputDefinitions") or {}).get("parameters") or {})


def mistakes(declared: Json, given: dict[str, str], config: Config | None) -> list[ConfigError]:
    """All that is wrong with the parameters of a schedule, or of a run.

    Args:
        declared: definitions, by name.
        given: values, by name; without `root`, which is always set.
        config: of the package, if it is known: with these values it must be one that can be run.
    """
    found = list(_wrong_names(declared, given))
    if config is not None:
        found += _wrong_values(config, given)
    return found


def _wrong_names(declared: Json, given: dict[str, str]) -> Iterator[ConfigError]:
    known = sorted(set(declared) - set(OWN_PLACE))
    for name in given:
        if name not in declared:
            yield ConfigError(
                f"parameters.{name}: no such parameter; expected one of {', '.join(known) or 'none'}"
            )
        elif declared[name].get("parameterType", "STRING") != "STRING":
            yield ConfigError(
                f"parameters.{name}: the version takes {declared[name]['parameterType']} here, and a"
                " schedule can set text only; leave it out"
            )
    for name, definition in declared.items():
        needed = "defaultValue" not in definition and not definition.get("isOptional")
        if needed and name not in (*given, "root"):
            yield ConfigError(f"parameters.{name}: required by the version and missing")


def _wrong_values(config: Config, given: dict[str, str]) -> Iterator[ConfigError]:
    empty = [name for name in NEVER_EMPTY if name in given and not given[name].strip()]
    for name in empty:
        yield ConfigError(f"parameters.{name}: empty; leave it out for what the configuration says")
    kept = {name: value for name, value in given.items() if name not in empty}
    text = config.to_json()
    try:
        text = with_parameters(text, accelerator_count=kept.get("accelerator_count", ""))
    except ConfigError as error:
        yield error
    tree = json.loads(text)
    tree["data"]["source"] = kept.get("data_source") or tree["data"]["source"]
    chosen = {name: kept[name] for name in ("image", "accelerator") if name in kept}
    tree["compute"] |= chosen
    try:
        check_platform(validate(tree, "the configuration with these parameters"), "kubeflow", None)
    except ConfigError as error:
        yield error
