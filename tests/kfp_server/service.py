"""The HTTP side of the double: routes, authentication, injected faults, a journal of calls."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kfp_server.bodies import ApiError, Json
from tests.kfp_server.experiments import Experiments
from tests.kfp_server.health import health
from tests.kfp_server.pipelines import Pipelines
from tests.kfp_server.recurring import RecurringRuns
from tests.kfp_server.runs import Runs
from tests.kfp_server.uploads import upload_pipeline, upload_version

PREFIX = "/apis/v2beta1"
COOKIES = ("oauth2_proxy_kubeflow", "authservice_session")  # of kubeflow/manifests: new, old


@dataclass
class Fault:
    """What is done to the next `times` requests whose `METHOD path` matches.

    `status` answers with it; 0 closes the connection. `afterwards`: only once the request has had its
    effect, so that the client cannot know.
    """

    status: int
    times: int = 1
    match: str = ""
    delay: float = 0.0
    afterwards: bool = False


class KfpServer:
    """A running double.

    Attributes:
        token: demanded as bearer token or as one of the cookies of Kubeflow's logins, if any.
        gateway: whether something in front (Dex, IAP, Istio) demands it for every path; if not, this
            is the service ml-pipeline itself, as pods reach it.
        denied: namespaces that nobody may use.
        multi_user: whether a namespace must be named.
        tag: of the server's release, shown by healthz; None for a 1.x server without v2beta1.
        through_ui: whether this is the user interface, which passes calls on to the API server.
        ready: whether that API server answers.
        faults: injected, first match first.
        journal: method, path and status of each call, in order.
        enabled: names of the enabled recurring runs after each call.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.experiments, self.pipelines = Experiments(), Pipelines()
        self.runs = Runs(self.experiments, self.pipelines)
        self.recurring = RecurringRuns(self.experiments, self.runs)
        self.token: str | None = None
        self.gateway = True
        self.denied: set[str] = set()
        self.multi_user = False
        self.tag: str | None = "2.17.0"
        self.through_ui, self.ready = False, True
        self.faults: list[Fault] = []
        self.journal: list[tuple[str, str, int]] = []
        self.enabled: list[list[str]] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer((host, 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://{host}:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.runs.close()

    def fail(self, status: int, times: int = 1, match: str = "", **how: Any) -> None:
        """Inject a fault; see `Fault`."""
        self.faults.append(Fault(status, times, match, **how))

    def calls(self, match: str) -> list[tuple[str, str, int]]:
        """The calls whose `METHOD path` matches."""
        return [call for call in self.journal if re.search(match, f"{call[0]} {call[1]}")]

    def answer(
        self, method: str, target: str, headers: dict[str, str], raw: bytes
    ) -> tuple[int, Json | None]:
        """Status and body; None closes the connection."""
        split = urlsplit(target)
        path, query = unquote(split.path), dict(parse_qsl(split.query, keep_blank_values=True))
        fault = self._fault(f"{method} {path}")
        if fault is not None:
            time.sleep(fault.delay)
            if not fault.afterwards and fault.status != 200:
                return self._noted(method, path, *_failed(fault.status))
        try:
            with self._lock:
                self._authenticate(path, headers)
                self._authorize(query, raw)
                self._check_namespace(method, path, query, raw)
                status, body = 200, self._dispatch(method, path, query, headers, raw)
        except ApiError as error:
            status, body = error.status, error.body()
        if fault is not None and fault.afterwards:
            status, body = _failed(fault.status)  # type: ignore[assignment]
        return self._noted(method, path, status, body)

    def _fault(self, call: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.match, call):
                fault.times -= 1
                return fault
        return None

    def _noted(self, method: str, path: str, status: int, body: Json | None) -> tuple[int, Any]:
        self.journal.append((method, path, status))
        there = list(self.recurring.items.values())
        self.enabled.append([r["display_name"] for r in there if r.get("status") == "ENABLED"])
        return status, body

    def _check_namespace(self, method: str, path: str, query: dict[str, str], raw: bytes) -> None:
        """Experiments, and lists of runs, are of a namespace in multi-user mode (…_server.go)."""
        collection = path.rsplit("/", 1)[-1]
        lists = method == "GET" and collection in ("experiments", "runs", "recurringruns")
        named = query.get("namespace") or query.get("experiment_id") or b'"namespace"' in raw
        if self.multi_user and not named and (lists or path.endswith("/experiments")):
            raise ApiError(400, f"{collection} cannot have an empty namespace in multi-user mode")

    def _authenticate(self, path: str, headers: dict[str, str]) -> None:
        """A gateway demands credentials for every path and knows cookies.

        The API server itself reviews bearer tokens (auth.go, GetAuthenticators), in multi-user mode only
        (resource_manager.go, IsAuthorized), and not of who asks for healthz, which stands beside the
        services that do (main.go, startHTTPProxy).
        """
        nobody = not self.gateway and (not self.multi_user or path.endswith("/healthz"))
        if self.token is None or nobody:
            return
        bearer = headers.get("authorization") == f"Bearer {self.token}"
        cookies = headers.get("cookie", "").split("; ")
        cookie = any(f"{name}={self.token}" in cookies for name in COOKIES)
        if not bearer and not (cookie and self.gateway):
            raise ApiError(401, "Request header error: there is no user identity header.")

    def _authorize(self, query: dict[str, str], raw: bytes) -> None:
        """The API server asks Kubernetes about the namespace: PermissionDenied, 403."""
        namespaces = {query.get("namespace", "")} | set(
            re.findall(rb'"namespace": ?"([^"]+)"', raw[:100_000])
        )
        for name in {n.decode() if isinstance(n, bytes) else n for n in namespaces} & self.denied:
            raise ApiError(403, f"User is not authorized to access namespace {name}")

    def _dispatch(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], raw: bytes
    ) -> Json:
        if self.through_ui and not self.ready and not path.endswith("/healthz"):
            raise ApiError(504, "Error occurred while trying to proxy")
        if self.tag is None:  # a 1.x server: gorilla/mux knows no such path
            if path == "/apis/v1beta1/healthz":
                return self._health("1.8.5")
            raise ApiError(404, "Not Found")
        kind = headers.get("content-type", "")
        for verb, pattern, act in self._routes(query, kind, raw):
            found = re.fullmatch(PREFIX + pattern, path)
            if found and verb == method:
                return act(*found.groups())
        raise ApiError(404, "Not Found")  # an update of a recurring run ends here: there is none

    def _health(self, tag: str) -> Json:
        return health(tag, self.multi_user, through_ui=self.through_ui, ready=self.ready)

    def _routes(
        self, query: dict[str, str], kind: str, raw: bytes
    ) -> list[tuple[str, str, Callable[..., Json]]]:
        e, p, r, j = self.experiments, self.pipelines, self.runs, self.recurring
        cascade = query.get("cascade") in ("true", "True")
        policy = query.get("propagation_policy", "DELETE_PROPAGATION_POLICY_UNSPECIFIED")
        one = "/([^/:]+)"
        return [
            ("GET", "/healthz", lambda: self._health(str(self.tag))),
            ("POST", "/experiments", lambda: e.create(raw)),
            ("GET", "/experiments", lambda: e.list(query)),
            ("GET", f"/experiments{one}", e.get),
            ("DELETE", f"/experiments{one}", e.delete),
            ("POST", f"/experiments{one}:archive", lambda i: e.set_archived(i, True)),
            ("POST", f"/experiments{one}:unarchive", lambda i: e.set_archived(i, False)),
            ("POST", "/pipelines/upload", lambda: upload_pipeline(p, query, kind, raw)),
            ("POST", "/pipelines/upload_version", lambda: upload_version(p, query, kind, raw)),
            ("POST", "/pipelines", lambda: p.create_empty(raw)),
            ("GET", "/pipelines", lambda: p.list(query)),
            ("GET", f"/pipelines/names{one}", p.by_name),
            ("GET", f"/pipelines{one}", p.get),
            ("DELETE", f"/pipelines{one}", lambda i: p.delete(i, cascade)),
            ("GET", f"/pipelines{one}/versions", lambda i: p.list_versions(i, query)),
            ("GET", f"/pipelines{one}/versions{one}", p.get_version),
            ("DELETE", f"/pipelines{one}/versions{one}", p.delete_version),
            ("POST", "/runs", lambda: r.create(raw)),
            ("GET", "/runs", lambda: r.list(query)),
            ("GET", f"/runs{one}", r.get),
            ("DELETE", f"/runs{one}", r.delete),
            ("POST", f"/runs{one}:terminate", r.terminate),
            ("POST", f"/runs{one}:archive", lambda i: r.set_archived(i, True)),
            ("POST", f"/runs{one}:unarchive", lambda i: r.set_archived(i, False)),
            ("POST", "/recurringruns", lambda: j.create(raw)),
            ("GET", "/recurringruns", lambda: j.list(query)),
            ("GET", f"/recurringruns{one}", j.get),
            ("DELETE", f"/recurringruns{one}", lambda i: j.delete(i, policy)),
            ("POST", f"/recurringruns{one}:enable", lambda i: j.set_enabled(i, True)),
            ("POST", f"/recurringruns{one}:disable", lambda i: j.set_enabled(i, False)),
        ]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two packets: 40 ms an answer else

            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, body = server.answer(self.command, self.path, headers, raw)
                if body is None:
                    self.close_connection = True
                    return
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve  # noqa: N815

            def log_message(self, *_: Any) -> None: ...

        return Handler


def _failed(status: int) -> tuple[int, Json | None]:
    return status, ApiError(status, "injected").body() if status else None
