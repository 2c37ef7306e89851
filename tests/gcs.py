"""The GCS emulator made strict: it honours `ifGenerationMatch`, as the real service does.

The emulator package ignores preconditions, so tests of locks and create-only writes would pass
falsely. Here every mutating request is checked under one lock and answered with 412 like
https://cloud.google.com/storage/docs/request-preconditions says.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, Self

from gcp_storage_emulator import server as emulator_server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

BUCKET = "aegan-test"

Handler = Callable[..., None]

FAULTS: list[Iterator[str]] = []
"""At most one endless series, a fault for each request: "" for none, or the name of one of these:

- unavailable, limited: answers 503 or 429 and does nothing
- truncated: half of what is uploaded arrives, which must be refused for its checksum; answers 503.
  Strikes the next upload that has none of its own
- reset: breaks the connection off and does nothing
- lost: breaks it off after having done what was asked for
- cut: breaks it off in the middle of the answer
- damaged: one byte of a downloaded object is another
- slow: answers, after SLOW_SECONDS
"""

STRUCK: collections.Counter[str] = collections.Counter()
"""How often each fault has had its effect: without a body, there is nothing to truncate or to cut. And
`taken by half`: how often half an upload became an object, for want of a checksum."""

OWED: set[str] = set()
"""What was to strike a request that it cannot, and waits for one that it can."""

LISTING_FAULTS: list[Iterator[str]] = []
"""The same for requests that list objects, which FAULTS leaves alone."""

SLOW_SECONDS = 1.2
"""A little longer than the tests' time-outs: all others wait meanwhile."""


def _strict(original: Handler) -> Handler:
    """A handler that answers 412 where the object's generation is not the one asked for.

    The emulator handles one request at a time, so the check and the write cannot be torn apart. A
    resumable upload carries the condition in its session's URL and is checked again as it ends.
    """

    faults = LISTING_FAULTS if original is objects.ls else FAULTS

    def handle(request: Any, response: Any, storage: Any, *args: Any, **kwargs: Any) -> None:
        fault = next(faults[0], "") if faults else ""
        fault = _struck(fault, request)
        if fault == "truncated":
            _truncate(original, request, response, storage, *args)
        if fault in ("unavailable", "limited", "truncated"):
            limited = fault == "limited"
            response.status = (
                HTTPStatus.TOO_MANY_REQUESTS if limited else HTTPStatus.SERVICE_UNAVAILABLE
            )
            response.json({"error": {"code": response.status, "message": "injected"}})
            if fault != "truncated":
                STRUCK[fault] += 1
            return
        if fault == "reset":
            _break_off(response, 0)
            STRUCK[fault] += 1
            return
        if fault == "slow":
            STRUCK[fault] += 1
            time.sleep(SLOW_SECONDS)
        _answer(original, request, response, storage, *args)
        _harm(fault, response)

    handle.strict = True  # type: ignore[attr-defined]
    return handle


def _struck(fault: str, request: Any) -> str:
    """The fault that this request meets: one without a body cannot be truncated, and owes that."""
    has_body = isinstance(request.data, dict) and bool(request.data.get("content"))
    if fault == "truncated" and not has_body:
        OWED.add(fault)
        return ""
    if not fault and has_body and OWED:
        return OWED.pop()
    return fault


def _truncate(original: Handler, request: Any, response: Any, storage: Any, *args: Any) -> None:
    """Half an upload arrives: the checksum that came with it keeps that from becoming an object."""
    content = request.data["content"]
    request.data["content"] = content[: len(content) // 2]
    original(request, response, storage, *args)
    refused = response.status == HTTPStatus.BAD_REQUEST
    STRUCK["truncated" if refused else "taken by half"] += 1


def _harm(fault: str, response: Any) -> None:
    """Let an answer get lost, be cut off, or arrive damaged."""
    content = response._content
    if fault == "lost":
        _break_off(response, 0)
    elif fault == "cut" and len(content) > 1:
        _break_off(response, len(content) // 2)
    elif fault == "damaged" and isinstance(content, bytes) and content:
        middle = len(content) // 2
        changed = bytes([content[middle] ^ 1])
        response._content = content[:middle] + changed + content[middle + 1 :]
    else:
        return
    STRUCK[fault] += 1


def _answer(original: Handler, request: Any, response: Any, storage: Any, *args: Any) -> None:
    wanted = request.query.get("ifGenerationMatch")
    if wanted is not None and _generation(request, storage) != int(wanted[0]):
        response.status = HTTPStatus.PRECONDITION_FAILED
        message = "At least one of the pre-conditions you specified did not hold."
        error = {"code": 412, "message": message, "errors": [{"message": message}]}
        response.json({"error": error})
        return
    original(request, response, storage, *args)


def _break_off(response: Any, sent: int) -> None:
    """Let the connection end after so many bytes of the answer's body."""
    handler = response._handler

    def close() -> None:
        with contextlib.suppress(OSError):
            if sent:
                handler.send_response(response.status.value)
                for key, value in response._headers.items():
                    handler.send_header(key, value)
                content = response._content
                content = content.encode() if isinstance(content, str) else content
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content[:sent])
                handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    response.close = close


def _generation(request: Any, storage: Any) -> int:
    """Generation of the object that a request is about; 0 if it does not exist."""
    bucket, name = request.params.get("bucket_name"), request.params.get("object_id")
    if "upload_id" in request.query:
        pending = storage.get_resumable_file_obj(request.query["upload_id"][0])
        bucket, name = pending["bucket"], pending["name"]
    elif name is None:
        data = request.data
        in_query = request.query.get("name")
        name = in_query[0] if in_query else (data.get("meta") or data)["name"]
    try:
        return int(storage.get_file_obj(bucket, name)["generation"])
    except NotFound:
        return 0


def _make_strict() -> None:
    checked = (
        objects.insert,
        objects.upload_partial,
        objects.delete,
        objects.get,
        objects.ls,
        objects.download,
    )
    for _, handlers in emulator_server.HANDLERS:
        for method, handler in handlers.items():
            if handler in checked:
                handlers[method] = _strict(handler)


class StrictEmulator:
    """A running emulator on a free port of an address of this machine's, by default loopback."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        _make_strict()
        self._numbers = itertools.count()
        self._server = emulator_server.create_server(host, 0, in_memory=True, default_bucket=BUCKET)

    def __enter__(self) -> Self:
        self._server.start()
        host, port = self._server._api._httpd.socket.getsockname()
        self.url = f"http://{host}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def list_as(self, key: str, other: str) -> None:
        """Let listings show an object under another name, which need not be one that it accepts."""
        objects_of_bucket = self._server._storage.objects[BUCKET]
        objects_of_bucket[other] = objects_of_bucket[key] | {"name": other}

    def keys(self, prefix: str) -> list[str]:
        """The keys of all objects that begin so, as they are."""
        return sorted(
            key for key in self._server._storage.objects[BUCKET] if key.startswith(prefix)
        )

    def new_prefix(self) -> str:
        """URI of a prefix that no other test uses."""
        return f"gs://{BUCKET}/test-{next(self._numbers)}"
