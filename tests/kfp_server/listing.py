"""Lists: filter, sort, pages, as backend/src/apiserver/list and …/filter do it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from tests.kfp_server.bodies import Json, invalid

DEFAULT_PAGE_SIZE = 20  # list.go: defaultPageSize
MAX_PAGE_SIZE = 200  # list.go: maxPageSize; more is silently cut to it
OPERATIONS = {
    1: "EQUALS",
    2: "NOT_EQUALS",
    3: "GREATER_THAN",
    5: "GREATER_THAN_EQUALS",
    6: "LESS_THAN",
    7: "LESS_THAN_EQUALS",
    8: "IN",
    9: "IS_SUBSTRING",
}
FIELDS = {
    "display_name",
    "name",
    "created_at",
    "description",
    "namespace",
    "state",
    "storage_state",
}
FIELDS |= {"id", "pipeline_id", "run_id", "experiment_id", "status"}
SORTABLE = FIELDS - {"description", "namespace"}


def page(items: Iterable[Json], query: dict[str, str], name: str) -> Json:
    """One page of a list in the shape of the API's List…Response.

    A token carries the criteria it was made under; others beside it are refused
    (list_request_util.go, validatedListOptions). It holds the place in the list, so that pages
    neither repeat nor skip what was there all along.
    """
    size = _size(query.get("page_size", "0"))
    criteria = {"sort_by": query.get("sort_by", ""), "filter": query.get("filter", "")}
    token = query.get("page_token", "")
    after: list[str] | None = None
    if token:
        kept = _read_token(token)
        if any(criteria.values()) and criteria != kept["criteria"]:
            raise invalid(
                "page token does not match the supplied sort by and/or filtering criteria. Either"
                " specify the same criteria or leave the latter empty if page token is specified."
            )
        criteria, after = kept["criteria"], kept["after"]
    chosen = _filtered(items, criteria["filter"])
    key, descending = _order(criteria["sort_by"])
    ordered = sorted(chosen, key=key, reverse=descending)
    total = len(ordered)
    if after is not None:
        place = tuple(after)
        ordered = [i for i in ordered if (key(i) < place if descending else key(i) > place)]
    answer: Json = {name: ordered[:size], "total_size": total}
    if len(ordered) > size:
        content = {"criteria": criteria, "after": list(key(ordered[size - 1]))}
        answer["next_page_token"] = base64.b64encode(json.dumps(content).encode()).decode()
    if not answer[name]:
        del answer[name]  # protojson leaves out empty lists: clients read None
    return answer


def _size(text: str) -> int:
    try:
        size = int(text or 0)
    except ValueError:
        raise invalid(f"page_size {text!r} is no number") from None
    if size < 0:
        raise invalid(f"The page size should be greater than 0. Got {size}")
    return min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _read_token(token: str) -> Json:
    try:
        return dict(json.loads(base64.b64decode(token, validate=True)))
    except ValueError:
        raise invalid("Invalid package token.") from None


def _order(sort_by: str) -> tuple[Any, bool]:
    words = sort_by.lower().split()
    if len(words) > 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
        raise invalid(f"Received invalid sort by format {sort_by!r}")
    field = words[0] if words else "created_at"
    if field not in SORTABLE:
        raise invalid(f"Cannot sort on field {field!r}")
    return (lambda i: (str(i.get(field, "")), _identity(i))), words[1:] == ["desc"]


def _identity(item: Json) -> str:
    keys = ("run_id", "recurring_run_id", "pipeline_version_id", "pipeline_id", "experiment_id")
    return str(next(item[key] for key in keys if key in item))


def _filtered(items: Iterable[Json], text: str) -> list[Json]:
    """`filter` is JSON that the server unescapes once more than HTTP does (parseAPIFilter)."""
    if not text:
        return list(items)
    try:
        tree = json.loads(unquote_plus(text))
        predicates = [_predicate(p) for p in tree.get("predicates", [])]
    except (ValueError, AttributeError, KeyError) as error:
        raise invalid(f"failed to parse valid filter from {text!r}: {error}") from None
    return [item for item in items if all(p(item) for p in predicates)]


def _predicate(tree: Json) -> Any:
    operation = OPERATIONS.get(tree["operation"], tree["operation"])
    if operation not in OPERATIONS.values():
        raise invalid(f"invalid predicate operation: {operation}")
    key = tree["key"]
    if key not in FIELDS:
        raise invalid(f'no support for filtering on unrecognized field "{key}"')
    # protojson takes both spellings of a field.
    value = tree.get("string_value", tree.get("stringValue"))
    if value is None and operation != "IN":
        value = tree.get("timestamp_value", tree.get("timestampValue"))
    if operation == "IN":
        value = (tree.get("string_values") or tree.get("stringValues") or {}).get("values")
    if value is None:
        raise invalid(f"predicate on {key!r} has no value that fits {operation}")
    return lambda item: _holds(operation, str(item.get(key, "")).lower(), value)


def _holds(operation: str, mine: str, value: Any) -> bool:
    """Strings are compared without their case: LOWER(column) = LOWER(?), filter.go AddToSelect."""
    theirs = [str(v).lower() for v in value] if isinstance(value, list) else str(value).lower()
    return bool(
        {
            "EQUALS": lambda: mine == theirs,
            "NOT_EQUALS": lambda: mine != theirs,
            "GREATER_THAN": lambda: mine > theirs,
            "GREATER_THAN_EQUALS": lambda: mine >= theirs,
            "LESS_THAN": lambda: mine < theirs,
            "LESS_THAN_EQUALS": lambda: mine <= theirs,
            "IN": lambda: mine in theirs,
            "IS_SUBSTRING": lambda: theirs in mine,
        }[operation]()
    )
