"""The API server of Kubeflow Pipelines: reachable, of the right version, and willing to serve us."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aegan.errors import AeganError
from aegan_pipelines.doctor.check import SECONDS, Check

TESTED = (2, 17)
HEALTH = "/apis/v2beta1/healthz"
LOGIN = "give a token: --token-file PATH or AEGAN_TOKEN"


def read_token(path: str | None) -> str | None:
    """The bearer token of a file, or of AEGAN_TOKEN, or of the file that pods are given.

    Raises:
        AeganError: the file that was named cannot be read or is empty.
    """
    if path is None and os.environ.get("AEGAN_TOKEN"):
        return os.environ["AEGAN_TOKEN"].strip()
    path = path or os.environ.get("KF_PIPELINES_SA_TOKEN_PATH")
    if path is None:
        return None
    try:
        token = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise AeganError(f"cannot read the token file {path}: {reason}; give another") from None
    if not token:
        raise AeganError(f"the token file {path} is empty; expected a bearer token")
    return token


def ask(host: str, path: str, token: str | None) -> Any:
    """GET from the API server; the one place that knows how. Redirects are answers, too.

    Raises:
        requests.RequestException: no answer within 5 s.
    """
    import requests

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(
        f"{host.rstrip('/')}{path}", headers=headers, timeout=SECONDS, allow_redirects=False
    )


def shown(host: str) -> str:
    """The host without a user or a password that may stand in it."""
    parts = urlsplit(host)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def api_server(host: str, token: str | None) -> Check:
    """Whether a Kubeflow API server of version 2 answers at this address."""
    import requests

    name, where = "API server", shown(host)
    if not re.match(r"https?://", host):
        text = f"{where!r} is not an address: expected http:// or https:// and a host"
        return Check(name, "fail", text, "correct --host")
    try:
        answer = ask(host, HEALTH, token)
    except requests.Timeout:
        cure = "check the network, or forward the port: kubectl port-forward svc/ml-pipeline 8888"
        return Check(name, "fail", f"{where}: no answer within {SECONDS:g} s", cure)
    except requests.exceptions.SSLError:
        cure = "add its authority to REQUESTS_CA_BUNDLE"
        return Check(name, "fail", f"{where}: its certificate is not trusted", cure)
    except requests.RequestException as error:
        cure = "check --host, or forward the port: kubectl port-forward svc/ml-pipeline 8888"
        return Check(name, "fail", f"{where}: no connection ({type(error).__name__})", cure)
    refusal = _refusal(name, where, answer)
    if refusal is not None:
        return refusal
    try:
        mode = "multi-user" if answer.json().get("multi_user") else "single-user"
    except (ValueError, AttributeError):
        text = f"{where} answers, but not as Kubeflow Pipelines (a login page or another service?)"
        return Check(name, "fail", text, f"correct --host, or {LOGIN}")
    return Check(name, "ok", f"{where}, {mode}")


def _refusal(name: str, where: str, answer: Any) -> Check | None:
    """What an answer other than 200 means."""
    code = answer.status_code
    if code == 200:
        return None
    if 300 <= code < 400:
        return Check(name, "fail", f"{where} redirects to a login page ({code})", LOGIN)
    if code == 401:
        return Check(
            name, "fail", f"{where} does not know who asks (401)", f"{LOGIN}; is it expired?"
        )
    if code == 403:
        cure = "ask for access to the namespace, or give --namespace another"
        return Check(name, "fail", f"{where} refuses what this account asks (403)", cure)
    if code == 404:
        cure = "correct --host (behind Kubeflow's dashboard it ends in /pipeline), or update the server"
        return Check(name, "fail", f"{where} has no API v2beta1 (404)", cure)
    if code >= 500:
        cure = "look at its log: kubectl logs -n kubeflow deploy/ml-pipeline"
        return Check(name, "fail", f"{where} has an error of its own ({code})", cure)
    return Check(name, "fail", f"{where} answered {code}", "correct --host")


def api_version(host: str, token: str | None) -> Check:
    """The server's release, where it tells: API v2beta1, which it has, says the rest."""
    name = "API version"
    answer = ask(host, "/apis/v1beta1/healthz", token)
    try:
        tag = str(answer.json().get("tag_name", "")) if answer.status_code == 200 else ""
    except (ValueError, AttributeError):
        tag = ""
    numbers = re.match(r"v?(\d+)\.(\d+)", tag)
    if numbers is None:
        return Check(name, "ok", "v2beta1; the server does not tell its release")
    release = (int(numbers[1]), int(numbers[2]))
    if release[0] != TESTED[0]:
        text = f"release {tag}, expected {TESTED[0]}.x"
        return Check(name, "fail", text, "use a server of Kubeflow Pipelines 2")
    if release < TESTED:
        wanted = ".".join(map(str, TESTED))
        return Check(
            name, "warn", f"release {tag} is older than {wanted}", f"update it to {wanted}"
        )
    return Check(name, "ok", f"v2beta1, release {tag}")


def api_access(host: str, token: str | None, namespace: str | None) -> Check:
    """Whether this account may look at the runs of the namespace."""
    name = "API access"
    query = f"?page_size=1&namespace={namespace}" if namespace else "?page_size=1"
    answer = ask(host, f"/apis/v2beta1/runs{query}", token)
    if answer.status_code == 400 and not namespace:
        text = "the server serves several namespaces and was asked about none"
        return Check(name, "fail", text, "give --namespace yours")
    refusal = _refusal(name, shown(host), answer)
    if refusal is not None:
        return refusal
    place = f" of the namespace {namespace}" if namespace else ""
    who = "with a token" if token else "without a token"
    return Check(name, "ok", f"runs{place} can be listed, {who}")
