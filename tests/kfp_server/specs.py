"""Packages and parameters as backend/src/apiserver/template checks them."""

from __future__ import annotations

import re
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kfp_server.bodies import Json, invalid

MAX_FILE_BYTES = 32 << 20  # server/util.go: MaxFileLength
PIPELINE_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,127}$")  # v2_template.go: the spec's own name


def read_package(content: bytes) -> Json:
    """The spec of an uploaded YAML, in the form in which versions and runs carry it.

    A second document (platform settings) makes it `{pipeline_spec, platform_spec}`.
    """
    if len(content) > MAX_FILE_BYTES:
        raise invalid(f"File size too large. Maximum supported size: {MAX_FILE_BYTES}")
    try:
        documents = [tree for tree in yaml.safe_load_all(content) if tree is not None]
    except yaml.YAMLError as error:
        raise invalid(f"Failed to parse the YAML of the pipeline: {error}") from None
    if not documents or len(documents) > 2:
        raise invalid(f"expected one or two YAML documents, received {len(documents)}")
    if len(documents) == 1:
        return check_spec(documents[0])
    return check_spec({"pipeline_spec": documents[0], "platform_spec": documents[1]})


def check_spec(tree: Any) -> Json:
    """Parse with protobuf, which refuses unknown fields and wrong types."""
    if not isinstance(tree, dict):
        raise invalid(f"unknown template format: pipeline spec is invalid: {str(tree)[:60]!r}")
    pair = "pipeline_spec" in tree
    spec, platform = (tree["pipeline_spec"], tree.get("platform_spec")) if pair else (tree, None)
    try:
        message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        if platform is not None:
            json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise invalid(f"invalid v2 pipeline spec: {error}") from None
    # v2_template.go, NewV2SpecTemplate: each of these is refused.
    if not PIPELINE_NAME.match(message.pipeline_info.name):
        raise invalid(
            "invalid v2 pipeline spec: name must consist of lower case alphanumeric characters or"
            f" '-', received {message.pipeline_info.name!r}"
        )
    if not message.HasField("root"):
        raise invalid("invalid v2 pipeline spec: root component is empty")
    if not message.schema_version.startswith("2."):
        raise invalid(f"schema version {message.schema_version!r} is not supported")
    return dict(tree)


def pipeline_spec(tree: Json) -> Json:
    """The PipelineSpec of either form."""
    return dict(tree.get("pipeline_spec", tree))


def check_parameters(tree: Json, given: Json) -> None:
    """v2_template.go, validatePipelineJobInputs: missing, mistyped and unknown ones are refused."""
    declared = pipeline_spec(tree)["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, definition in declared.items():
        if name not in given:
            if "defaultValue" not in definition and not definition.get("isOptional"):
                raise invalid(
                    f"input parameter {name} is not optional, yet has neither default value nor user"
                    " provided value"
                )
            continue
        wanted = definition["parameterType"]
        if not _fits(given[name], wanted):
            raise invalid(
                f"input parameter {name} requires type {wanted}, received {given[name]!r}"
            )
    extra = sorted(set(given) - set(declared))
    if extra:
        raise invalid(f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _fits(value: Any, wanted: str) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "STRING": isinstance(value, str),
        "NUMBER_INTEGER": is_number and float(value).is_integer(),
        "NUMBER_DOUBLE": is_number,
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }[wanted]
