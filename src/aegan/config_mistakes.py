"""Mistakes in a configuration, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from aegan.config import Config
from aegan.config_compute import (
    ACCOUNT_PATTERN,
    CPU_PATTERN,
    LABEL_PATTERN,
    LABEL_VALUE_PATTERN,
)
from aegan.config_types import Section
from aegan.config_volumes import (
    MEMORY_PATTERN,
    MOUNT_PATTERN,
    OBJECT_PATTERN,
    VARIABLE_PATTERN,
)
from aegan.references import DNS_LABEL_PATTERN, NAME_PATTERN

PATTERNS = {
    NAME_PATTERN: "lower-case letters, digits and hyphens, beginning with a letter",
    DNS_LABEL_PATTERN: "lower-case letters, digits and hyphens, beginning with a letter, not ending with"
    " a hyphen",
    CPU_PATTERN: "a number of cores such as 2, 0.5 or 500m",
    MEMORY_PATTERN: "an amount of memory such as 8Gi or 500M",
    OBJECT_PATTERN: "a Kubernetes name: lower-case letters, digits and hyphens, at most 63",
    VARIABLE_PATTERN: "the name of an environment variable",
    MOUNT_PATTERN: "an absolute path without colons, such as /secrets/key",
    LABEL_PATTERN: "the key of a label, such as pool or example.com/pool",
    LABEL_VALUE_PATTERN: "the value of a label: letters, digits, hyphens, dots and underscores",
    ACCOUNT_PATTERN: "a service account: a Kubernetes name, or the e-mail address of a cloud's",
}


def explain(item: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a line: path, what was expected, what was received."""
    path, kind = path_of(item), item["type"]
    if kind == "extra_forbidden":
        return (
            f"{path}: no such setting; expected one of {', '.join(_known_keys(item['loc'][:-1]))}"
        )
    if kind == "missing":
        return f"{path}: required and missing"
    if kind in ("model_type", "dict_type"):
        return f"{path}: expected a section of settings, received {describe(item['input'])}"
    if kind == "string_pattern_mismatch":
        what = PATTERNS[item["ctx"]["pattern"]]
        return f"{path}: expected {what}, received {describe(item['input'])}"
    message = item["msg"].removeprefix("Value error, ").replace(" after validation", "")
    if kind == "value_error":
        return f"{path}: {message}"
    return f"{path}: {message[0].lower()}{message[1:]}, received {describe(item['input'])}"


def _known_keys(location: Iterable[str | int]) -> list[str]:
    section: type[Section] = Config
    for part in location:
        field = section.model_fields.get(str(part))
        # Otherwise an index or a key: of a list or mapping of sections, whose type was found already.
        section = (_section_of(field.annotation) if field is not None else None) or section
    return list(section.model_fields)


def _section_of(annotation: Any) -> type[Section] | None:
    """The section in a type such as `dict[str, Section] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)


def describe(value: Any) -> str:
    """A value and its type."""
    return f"{value!r} ({type(value).__name__})"


def path_of(item: Mapping[str, Any]) -> str:
    """Where a mistake is, as in `--set`."""
    return ".".join(str(part) for part in item["loc"] if part != "[key]") or "top level"
