"""Reading a configuration: YAML files, presets and overrides; every mistake at once, in words."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aegan.config import Config
from aegan.config_mistakes import describe, explain, path_of
from aegan.contradictions import Contradiction
from aegan.digests import to_json
from aegan.errors import ConfigError

_SECTIONS = [name for name in Config.model_fields if name not in ("name", "seed")]


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
    tree = parse_yaml(_read(source), source)
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected a mapping of settings, received {describe(tree)}")
    # A section of which every line is commented out reads as None: nothing is set in it.
    tree = {key: {} if value is None and key in _SECTIONS else value for key, value in tree.items()}
    for override in overrides:
        _apply(tree, override)
    return validate(tree, source)


def from_json(text: str) -> Config:
    """The configuration that `Config.to_json` wrote."""
    return validate(json.loads(text), "the configuration passed between steps")


def with_parameters(config: str, data_source: str = "", accelerator_count: str = "") -> str:
    """The configuration of a run: that of its package, and what the run says otherwise.

    Every step of a run calls this with the same values, so all of them see one configuration.

    Args:
        config: canonical JSON of the package's configuration.
        data_source: in place of `data.source`; empty to leave it.
        accelerator_count: in place of `compute.accelerator_count`; empty to leave it.

    Returns:
        Canonical JSON.

    Raises:
        ConfigError: the result cannot be run.
    """
    tree = json.loads(config)
    if data_source:
        tree["data"]["source"] = data_source
    if accelerator_count:
        if not accelerator_count.isdecimal():
            raise ConfigError(
                f"the parameter accelerator_count is {accelerator_count!r}: expected a whole number as"
                " text, such as '1'"
            )
        tree["compute"]["accelerator_count"] = int(accelerator_count)
    return validate(tree, "the configuration with the run's parameters").to_json()


def validate(tree: Mapping[str, Any], source: str) -> Config:
    """Check a tree of plain values; raises one ConfigError that lists every mistake."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        items = [item for item in error.errors() if item["loc"] or item["type"] != "value_error"]
        lines = [explain(item) for item in items]
        lines += map(str, _contradictions(tree, [path_of(item) for item in items]))
        many = "s" if len(lines) > 1 else ""
        raise ConfigError(
            f"{source}: {len(lines)} mistake{many}\n" + "\n".join(f"  {line}" for line in lines)
        ) from None


def _contradictions(tree: Mapping[str, Any], wrong: list[str]) -> list[Contradiction]:
    """Those between settings that are not wrong themselves: the others stand at their defaults."""
    pruned = copy.deepcopy(dict(tree))
    for path in wrong:
        _remove(pruned, path)
    pruned.setdefault("name", "unnamed")
    pruned.setdefault("data", {}).setdefault("source", "digits")
    found: list[Contradiction] = []
    with contextlib.suppress(ValidationError):
        Config.model_validate(pruned, context=found)

    def is_wrong(path: str) -> bool:
        return any(f"{path}.".startswith(f"{w}.") or w.startswith(f"{path}.") for w in wrong)

    return [item for item in found if not any(map(is_wrong, item.paths))]


def _remove(tree: dict[str, Any], path: str) -> None:
    """Delete what is at a path, or the list or value that holds it."""
    node: Any = tree
    *parents, last = path.split(".")
    for key in parents:
        if not isinstance(node.get(key), dict):
            last = key
            break
        node = node[key]
    node.pop(last, None)


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


def parse_yaml(text: str, source: str) -> Any:
    """The value of a YAML text; `source` names it in the error.

    Raises:
        ConfigError: the text is not YAML, or a key stands twice in it.
    """
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
    node[last] = parse_yaml(text, f"--set {override}")


def json_schema() -> str:
    """JSON Schema (2020-12) of a configuration file, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= Config.model_json_schema() | {"title": "aegan configuration"}
    return to_json(schema).decode()


if __name__ == "__main__":
    print(json_schema(), end="")
