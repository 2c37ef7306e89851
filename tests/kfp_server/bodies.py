"""Request bodies, checked with the API's own models; errors as grpc-gateway writes them."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import kfp_server_api
from kfp_server_api import models

Json = dict[str, Any]

# google.rpc.Code by HTTP status, as in grpc-gateway's table.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 412: 9, 429: 8, 500: 13, 501: 12, 503: 14}

# The time of what has not happened yet: protobuf's Timestamp of no seconds, which is always sent.
EPOCH = "1970-01-01T00:00:00Z"


class ApiError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message

    def body(self) -> Json:
        """As runtime.HTTPError of grpc-gateway writes a status."""
        code = CODES.get(self.status, 2)
        return {"error": self.message, "code": code, "message": self.message, "details": []}


def invalid(message: str) -> ApiError:
    """util.NewInvalidInputError: InvalidArgument, 400."""
    return ApiError(400, f"Invalid input error: {message}")


def not_found(kind: str, identity: str) -> ApiError:
    """util.NewResourceNotFoundError: NotFound, 404."""
    return ApiError(404, f"ResourceNotFoundError: {kind} {identity} not found.")


def already_exists(message: str) -> ApiError:
    """util.NewAlreadyExistError: AlreadyExists, 409."""
    return ApiError(409, f"Already exist error: {message}")


def unconverted(reason: str) -> Json:
    """What is sent, beside its ids, of a thing that the server keeps but cannot convert."""
    message = f"Failed to convert internal representation to its API counterpart: {reason}"
    return {"error": {"code": 3, "message": message, "details": []}}


class _Response:
    def __init__(self, data: str):
        self.data = data


def parse(raw: bytes, model: str) -> Json:
    """A body as a dict, after the API's model of it took it.

    Types and enumerations are what the model checks. Unknown fields are refused here, though the real
    gateway drops them: a misspelt field is a client's bug either way.
    """
    try:
        tree = json.loads(raw)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    _check_fields(tree, model)
    try:
        kfp_server_api.ApiClient().deserialize(_Response(json.dumps(tree)), model)
    except Exception as error:
        raise ApiError(400, f"the body is no {model}: {error}") from None
    return dict(tree)


def _check_fields(tree: Any, model: str) -> None:
    kind = getattr(models, model, None)
    values = getattr(kind, "allowable_values", None)
    if values and tree not in values:  # the generated enumerations do not check themselves
        raise ApiError(400, f"{tree!r} is no {model}: expected one of {values}")
    if kind is None or not hasattr(kind, "openapi_types") or not kind.openapi_types:
        return
    if not isinstance(tree, dict):
        raise ApiError(400, f"expected a {model}, received {tree!r}")
    for name, value in tree.items():
        if name not in kind.openapi_types:
            raise ApiError(400, f"unknown field {name!r} in {model}")
        if value is not None:
            _check_fields(value, kind.openapi_types[name])


def now() -> str:
    """Time as protojson writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


def new_id() -> str:
    return str(uuid.uuid4())
