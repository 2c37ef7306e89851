"""Reading a configuration: YAML files, presets and overrides; every mistake at once, in words."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aegan.config import Bound, Config, contradictions
from aegan.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML that refuses duplicate keys and reads 1e-3 as a number, as YAML 1.2 does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"line {line}: the key {key!r} stands twice; keep one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def preset_names() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = resources.files("aegan") / "presets"
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def load_config(source: str, overrides: Iterable[str] = ()) -> Config:
    """Read and check a configuration.

    Args:
        source: path of a YAML file, or the name of a preset.
        overrides: `path.to.key=value` texts; values are read as YAML.

    Raises:
        ConfigError: the file is missing or not YAML, or holds mistakes; all are named at once.
    """
    tree = _parse(_read(source), source)
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected a mapping of settings, received {_describe(tree)}")
    for override in overrides:
        _apply(tree, override)
    return validate(tree, source)


def from_json(text: str) -> Config:
    """The configuration that `Config.to_json` wrote."""
    return validate(json.loads(text), "the configuration passed between steps")


def validate(tree: Mapping[str, Any], source: str) -> Config:
    """Check a tree of plain values; raises one ConfigError that lists every mistake."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        # Pydantic compares sections only once all of them are valid: do so with those that are.
        items = [item for item in error.errors() if item["loc"] or item["type"] != "value_error"]
        lines = [_explain(item) for item in items] + contradictions(_valid_sections(tree))
        count = f"{len(lines)} mistake" + ("s" if len(lines) > 1 else "")
        raise ConfigError(
            f"{source}: {count}\n" + "\n".join(f"  {line}" for line in lines)
        ) from None


def _valid_sections(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that are valid each for themselves."""
    sections = {}
    for name in ("data", "autoencoder", "gan"):
        kind: Any = Config.model_fields[name].annotation
        with contextlib.suppress(ValidationError):
            sections[name] = kind.model_validate(tree.get(name, {}))
    return sections


def _read(source: str) -> str:
    path = Path(source)
    if not path.suffix and "/" not in source and not path.is_file():
        names = preset_names()
        if source not in names:
            raise ConfigError(
                f"no preset named {source!r}: expected one of {', '.join(names)},"
                " or the path of a YAML file"
            )
        return (resources.files("aegan") / "presets" / f"{source}.yaml").read_text("utf-8")
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the configuration {source}: {error};"
            f" give the path of a YAML file or a preset ({', '.join(preset_names())})"
        ) from None


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # 2026-02-30, a list as a key
        raise ConfigError(f"{source} is not valid YAML: {error}") from None


def _apply(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"--set {override}: expected path.to.key=value, for example --set gan.steps=500"
        )
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override}: `{key}` is a value, not a section")
        node = child
    node[last] = _parse(text, f"--set {override}")


def _explain(item: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in item["loc"] if part != "[key]") or "the whole"
    kind = item["type"]
    if kind == "extra_forbidden":
        return (
            f"{path}: no such setting; expected one of {', '.join(_known_keys(item['loc'][:-1]))}"
        )
    if kind == "missing":
        return f"{path}: required and missing"
    message = item["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{path}: {message}"
    return f"{path}: {message[0].lower()}{message[1:]}, received {_describe(item['input'])}"


def _known_keys(location: Iterable[str | int]) -> list[str]:
    section: Any = Config
    for part in location:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field is not None else Bound
    return list(section.model_fields)


def _describe(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"


def json_schema() -> str:
    """JSON Schema (2020-12) of a configuration file, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= Config.model_json_schema() | {"title": "aegan configuration"}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
