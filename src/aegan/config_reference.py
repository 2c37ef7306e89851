"""The configuration reference, docs/configuration.md, written from the schema: `make schema`.

Names, types, defaults, bounds and meanings come from the models and so cannot differ from what a run
accepts; the order is the models'.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from aegan import config_mistakes
from aegan.config import Config

Schema = Mapping[str, Any]

INTRODUCTION = """\
# Configuration

Everything that one YAML file can say, section by section. Written from the models by `make schema`: edit
the docstrings there and not this page. Editors check a file as it is typed with
[config.schema.json](config.schema.json).

`aegan run FILE --set section.setting=value` overrides a setting for one run. Unknown settings, values of
another type and settings that contradict each other are refused before anything runs, all at once.
Settings without a default must be given.
"""

BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
TYPES = {
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}


def reference() -> str:
    """The whole page, as Markdown."""
    schema = Config.model_json_schema()
    definitions = schema.get("$defs", {})
    page = [INTRODUCTION, "## The whole file\n", _table("", schema, definitions)]
    for path, section in _sections("", schema, definitions):
        page += [f"## {path}\n", section.get("description", ""), ""]
        page.append(_table(path, section, definitions))
        page += filter(None, [_of_choices(path)])
    return "\n".join(page).rstrip() + "\n"


def _sections(path: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """Sections within a section, depth first; those of a list or a mapping as `path.*`."""
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}".lstrip(".")
        for place, reference in _references(inner, field):
            section = definitions[reference]
            if "properties" in section:
                yield place, section
                yield from _sections(place, section, definitions)


def _references(path: str, field: Schema) -> Iterator[tuple[str, str]]:
    """The definitions that a field's type names, each with the path of what it describes."""
    if "$ref" in field:
        yield path, field["$ref"].rsplit("/", 1)[-1]
    for key in ("anyOf", "oneOf", "allOf"):
        for option in field.get(key, ()):
            yield from _references(path, option)
    for key in ("items", "additionalProperties"):
        if isinstance(field.get(key), Mapping):
            yield from _references(f"{path}.*", field[key])


def _table(path: str, section: Schema, definitions: Schema) -> str:
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in section["properties"].items():
        inner = f"{path}.{name}".lstrip(".")
        default = "*required*" if name in section.get("required", ()) else _default(field)
        meaning = " ".join(_meaning(field, definitions).split())
        cells = (f"`{name}`", _type(inner, field, definitions), default, meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _meaning(field: Schema, definitions: Schema) -> str:
    own = str(field.get("description", ""))
    if own or "$ref" not in field:
        return own
    return str(definitions[field["$ref"].rsplit("/", 1)[-1]].get("description", ""))


def _default(field: Schema) -> str:
    default = field.get("default")
    if isinstance(default, Mapping) and default:
        return "see there"
    return f"`{json.dumps(default, ensure_ascii=False)}`" if default != "" else "empty"


def _type(path: str, field: Schema, definitions: Schema) -> str:
    """A type and its bounds, in words."""
    if "$ref" in field:
        inner = definitions[field["$ref"].rsplit("/", 1)[-1]]
        return f"[section](#{_anchor(path)})" if "properties" in inner else _type(path, inner, {})
    options = field.get("anyOf") or field.get("oneOf") or field.get("allOf")
    if options:
        return " or ".join(_type(path, option, definitions) for option in options)
    if "enum" in field:
        return _one_of(field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = field.get("type", "any value")
    if kind == "array":
        words = f"list of {_type(f'{path}.*', field.get('items', {}), definitions)}"
    elif kind == "object" and isinstance(field.get("additionalProperties"), Mapping):
        keys = field.get("propertyNames", {})
        named = _one_of(keys["enum"]) if "enum" in keys else _bounded("text", keys)
        values = _type(f"{path}.*", field["additionalProperties"], definitions)
        words = f"mapping from {named} to {values}"
    else:
        words = TYPES.get(kind, str(kind))
    return _bounded(words, field)


def _bounded(words: str, field: Schema) -> str:
    bounds = [text.format(field[key]) for key, text in BOUNDS.items() if key in field]
    if "pattern" in field:
        pattern = field["pattern"]
        bounds.append(config_mistakes.PATTERNS.get(pattern, f"matching `{pattern}`"))
    return ", ".join([words, *bounds])


def _one_of(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _anchor(path: str) -> str:
    """As GitHub makes it of a heading: dots and asterisks fall away."""
    return path.lower().replace(".", "").replace("*", "")


def _of_choices(path: str) -> str:
    """What a choice changes in the defaults of other settings: found by making each choice.

    Of two choices together, only what follows from neither of them alone.
    """
    field = Config.model_fields.get(path)
    if field is None or not isinstance(field.default, BaseModel):
        return ""
    usual = field.default
    properties = type(usual).model_json_schema()["properties"]
    choices = [
        (name, value)
        for name, described in properties.items()
        for value in described.get("enum", ())
        if value != getattr(usual, name)
    ]
    alone = {choice: _changes(usual, [choice]) for choice in choices}
    lines = [_choice_line([choice], changes) for choice, changes in alone.items() if changes]
    for first, second in itertools.combinations(choices, 2):
        known = alone[first] | alone[second]
        changes = _changes(usual, [first, second]) if first[0] != second[0] else {}
        beyond = {name: value for name, value in changes.items() if name not in known}
        if beyond:
            lines.append(_choice_line([first, second], beyond))
    return "\n".join(["Defaults that follow a choice:\n", *lines, ""]) if lines else ""


def _changes(usual: BaseModel, choices: list[tuple[str, Any]]) -> dict[str, Any]:
    """Settings other than the chosen whose value is not their usual default."""
    try:
        chosen = type(usual)(**dict(choices)).model_dump()
    except ValidationError:
        return {}
    defaults = usual.model_dump()
    return {k: v for k, v in chosen.items() if v != defaults[k] and k not in dict(choices)}


def _choice_line(choices: list[tuple[str, Any]], changes: dict[str, Any]) -> str:
    chosen = " and ".join(f"`{name}: {value}`" for name, value in choices)
    follows = ", ".join(f"`{name}: {value}`" for name, value in changes.items())
    return f"- {chosen}: {follows}"


if __name__ == "__main__":
    print(reference(), end="")
