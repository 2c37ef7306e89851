"""One HTTP request to the Kubeflow Pipelines API, and one clear error for each way it can fail.

`kfp.Client` is not used: it prints, reads a context of its own, sets no timeout, repeats nothing, and
shows headers in its errors. What is sent is the same REST of v2beta1.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from aegan_pipelines.credentials import Credentials
from aegan_pipelines.refusals import TRANSIENT, ClusterError, refused, unreachable

Json = dict[str, Any]

PREFIX = "/apis/v2beta1"
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
ATTEMPTS = 5
BACKOFF_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class Api:
    """A Kubeflow Pipelines API server.

    Attributes:
        host: its base URL.
        credentials: what each request carries.
    """

    def __init__(
        self,
        host: str,
        credentials: Credentials,
        *,
        ca_certificate: str | None = None,
        timeout: float = READ_SECONDS,
        attempts: int = ATTEMPTS,
        backoff: float = BACKOFF_SECONDS,
    ):
        """Take an address; reaches nothing yet.

        Args:
            host: base URL, below which `/apis/v2beta1` lies.
            credentials: what each request carries.
            ca_certificate: path of a bundle that the server's certificate is checked with.
            timeout: seconds to wait for an answer.
            attempts: how often a request is sent that fails in a way that may pass.
            backoff: seconds before the second attempt; each later pause is twice as long.
        """
        self.host, self.credentials = host.rstrip("/"), credentials
        self._attempts, self._backoff = attempts, backoff
        self._timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout), read=timeout)
        self._pool = _pool(self.host, ca_certificate)

    def get(self, path: str, **query: str | int) -> Json:
        """What lies at a path below `/apis/v2beta1`."""
        return self._send("GET", path, query)

    def delete(self, path: str, **query: str) -> None:
        """Delete; what is gone already is no error."""
        try:
            self._send("DELETE", path, query)
        except ClusterError as error:
            if error.status != 404:
                raise

    def act(self, path: str) -> None:
        """POST something that may be done twice, such as `…:enable`."""
        self._send("POST", path, {})

    def create(self, path: str, body: Json, find: Callable[[], Json | None]) -> Json:
        """POST a new thing exactly once.

        Args:
            path: of the collection.
            body: the thing.
            find: looks for it; asked before it is sent again after an answer that leaves open
                whether it was made, and after 409.
        """
        content = json.dumps(body).encode()
        return self._send("POST", path, {}, content, "application/json", find=find)

    def upload(
        self,
        path: str,
        filename: str,
        content: bytes,
        find: Callable[[], Json | None],
        query: dict[str, str],
    ) -> Json:
        """POST a file as multipart form data, exactly once; see `create`."""
        fields = {"uploadfile": (filename, content, "application/octet-stream")}
        body, kind = urllib3.filepost.encode_multipart_formdata(fields)
        return self._send("POST", path, query, body, kind, find=find)

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        content: bytes | None = None,
        kind: str = "",
        *,
        find: Callable[[], Json | None] | None = None,
    ) -> Json:
        url = f"{self.host}{path if path.startswith('/apis/') else PREFIX + path}"
        url += f"?{urlencode(query)}" if query else ""
        attempt = 0
        while True:
            pause = self._backoff * 2**attempt * random.uniform(0.8, 1.2)
            attempt += 1
            try:
                answer = self._once(method, url, content, kind)
                if answer.status == 401 and self.credentials.renew():
                    answer = self._once(method, url, content, kind)
            except urllib3.exceptions.HTTPError as problem:
                error = unreachable(self.host, problem, self.credentials)
                if _is_final(problem):
                    raise error from None
            else:
                if answer.status < 300:
                    return self._read(answer)
                error = refused(
                    self.host, f"{method} {path}", answer, self.credentials, self._attempts
                )
                if answer.status == 409 and find is not None and (made := find()) is not None:
                    return made
                if answer.status not in TRANSIENT:
                    raise error
                pause = _asked_pause(answer, pause)
            if attempt >= self._attempts:
                raise error
            time.sleep(min(pause, LONGEST_PAUSE_SECONDS))
            if find is not None and (made := find()) is not None:
                return made

    def _once(
        self, method: str, url: str, content: bytes | None, kind: str
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json"} | self.credentials.headers()
        headers |= {"Content-Type": kind} if kind else {}
        return self._pool.request(
            method,
            url,
            body=content,
            headers=headers,
            timeout=self._timeout,
            retries=False,
            redirect=False,
        )

    def _read(self, answer: urllib3.BaseHTTPResponse) -> Json:
        try:
            return dict(json.loads(answer.data or b"{}"))
        except (ValueError, TypeError):
            raise ClusterError(
                f"{self.host} answered with a page, not with data: expected the API of Kubeflow"
                " Pipelines below it. Give the address under which /apis/v2beta1/healthz answers with"
                " JSON, for example https://kubeflow.example.com/pipeline"
            ) from None


def _pool(host: str, ca_certificate: str | None) -> urllib3.PoolManager:
    split = urlsplit(host)
    secure: dict[str, Any] = {"ca_certs": ca_certificate} if ca_certificate else {}
    proxy = getproxies().get(split.scheme)
    local = (split.hostname or "") in ("localhost", "127.0.0.1", "::1")
    if proxy and not local and not proxy_bypass(split.netloc):
        return urllib3.ProxyManager(proxy, **secure)
    return urllib3.PoolManager(**secure)


def _is_final(problem: Exception) -> bool:
    """No host of this name, nothing listening, a certificate that is not trusted: the same again."""
    kinds = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.SSLError,
        urllib3.exceptions.LocationValueError,
    )
    return isinstance(problem, kinds)


def _asked_pause(answer: urllib3.BaseHTTPResponse, otherwise: float) -> float:
    """What the server asks for, if that is a time to wait: it may be a date, or nonsense."""
    try:
        seconds = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return otherwise
    return seconds if seconds >= 0 else otherwise  # NaN is not
