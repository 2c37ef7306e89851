"""A connection to the context's cluster, and whether its server is one that we can talk to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from aegan.errors import ConfigError
from aegan_pipelines.context import (
    COOKIE_VARIABLE,
    HOST_VARIABLE,
    NAMESPACE_VARIABLE,
    Context,
    in_cluster,
    without_password,
)
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import ATTEMPTS, PREFIX, READ_SECONDS, Api

POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
OLDEST_SERVER = (2, 0)
# A name and a value. Encoded bytes without a name may end in `=`, or hold `=|` within.
COOKIE = re.compile(r"[\w.-]{1,64}=[^\s=|]\S*", re.ASCII)
EMPTY_COOKIE = re.compile(r"[\w.-]{1,64}=", re.ASCII)


def connect(context: Context, *, timeout: float = READ_SECONDS, attempts: int = ATTEMPTS) -> Api:
    """The API of the context's cluster; reaches nothing yet.

    Args:
        context: see `read_context`.
        timeout: seconds to wait for an answer.
        attempts: how often a request is sent that fails in a way that may pass.

    Raises:
        ConfigError: no host is known, it is no address or holds a password, the cookie file or the
            certificates cannot be read, or the cookie has no name.
    """
    context = in_cluster(context)
    if not context.host:
        raise ConfigError(
            f"no cluster is known: give --host URL, set {HOST_VARIABLE}, or write `host: URL` into"
            " ~/.config/aegan/context.yaml; with `kubectl port-forward -n kubeflow"
            " svc/ml-pipeline-ui 8080:80` it is http://localhost:8080"
        )
    host = context.host if "://" in context.host else f"https://{context.host}"
    if "@" in host:  # it would stand in errors and in links to runs, and no request carries it
        raise ConfigError(
            f"--host {without_password(host)}: expected an address without a user or password in it;"
            " give --token-file, --cookie-file or --iap-client-id"
        )
    if not _is_address(host):
        raise ConfigError(
            f"--host {host}: expected an address such as https://kubeflow.example.com"
        )
    credentials = Credentials(
        token=context.token,
        token_file=context.token_file,
        cookie=_cookie(context),
        iap_client_id=context.iap_client_id,
    )
    authority = _authority(context.ca_certificate)
    return Api(host, credentials, ca_certificate=authority, timeout=timeout, attempts=attempts)


def _is_address(host: str) -> bool:
    try:
        split = urlsplit(host)
        return split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:  # brackets without an address of version 6 in them, or a port that is none
        return False


def _cookie(context: Context) -> str | None:
    """The header Cookie: a name and a value, or several, with semicolons between them."""
    text, path = context.cookie, context.cookie_file
    if text is None and path is None:
        return None
    if text is None:
        try:
            text = Path(path or "").expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"cannot read the cookie file {path}") from None
    parts = (pair.strip() for pair in text.split(";"))
    pairs = [pair for pair in parts if pair and not EMPTY_COOKIE.fullmatch(pair)]
    if not pairs or not all(COOKIE.fullmatch(pair) and pair.isascii() for pair in pairs):
        where = f"{COOKIE_VARIABLE} or the context file" if context.cookie else path
        raise ConfigError(  # without the text, which is a secret
            f"the cookie of {where} has no name, or no value: expected name=value, as the browser holds"
            " it, such as oauth2_proxy_kubeflow=… (authservice_session=… of an older Kubeflow)"
        )
    return "; ".join(pairs)


def _authority(path: str | None) -> str | None:
    """The path of the certificates; of one that cannot be read, TLS would say neither name nor place."""
    if path is None:
        return None
    file = Path(path).expanduser()
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigError(
            f"cannot read the ca_certificate {file}: {error.strerror}; expected a file of certificates"
            " in PEM, named in the context file"
        ) from None
    return str(file)


@dataclass(frozen=True)
class Server:
    """What healthz tells; `version` is empty and `multi_user` None where it tells nothing."""

    version: str
    multi_user: bool | None


def check_server(api: Api) -> Server:
    """Reach the server and make sure that it speaks v2beta1.

    The user interface (ml-pipeline-ui) passes everything on but this: it answers itself, in words of its
    own, also while the API server behind it does not.

    Raises:
        ClusterError: it cannot be reached, does not know us, or is too old; says which.
    """
    speaks_v2 = True
    try:
        health = api.get("/healthz")
    except ClusterError as error:
        if error.status != 404:
            raise
        speaks_v2 = False
        try:
            health = api.get("/apis/v1beta1/healthz")
        except ClusterError:
            raise ClusterError(
                f"{api.host} is no Kubeflow Pipelines server: it has no {PREFIX}/healthz. Give the"
                " address of the API or of the user interface (often …/pipeline)",
                404,
            ) from None
    if health.get("apiServerReady") is False:
        raise ClusterError(
            f"cannot reach Kubeflow Pipelines at {api.host}: the user interface answers, the API server"
            " behind it does not. Try again later, or look at the logs of the deployment ml-pipeline",
            503,
        )
    tag = health.get("tag_name") or health.get("apiServerTagName") or ""
    version = api.credentials.redact(str(tag))
    version = version.removeprefix("unknown")
    if not speaks_v2 or _numbers(version) < OLDEST_SERVER:
        raise ClusterError(
            f"{api.host} runs Kubeflow Pipelines {version or '1.x'}: expected 2.0 or newer (tested with"
            " 2.17). Have the cluster upgraded, or use another --host",
            404,
        )
    return Server(version, health.get("multi_user", health.get("apiServerMultiUser")))


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers; a version that cannot be read counts as new enough."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers) or (99,)


def in_namespace(context: Context, server: Server) -> Context:
    """The context with a namespace where the server wants one (a pod's own if none is named).

    A server of one user has none: some releases refuse what names one.

    Raises:
        ConfigError: the server wants one and none is known.
    """
    if server.multi_user is False:
        return replace(context, namespace=None)
    if context.namespace or server.multi_user is None:
        return context
    try:
        return replace(context, namespace=Path(POD_NAMESPACE).read_text("utf-8").strip())
    except OSError:
        raise ConfigError(
            "this Kubeflow has several users: expected --namespace NAME (your profile's), the variable"
            f" {NAMESPACE_VARIABLE}, or `namespace: NAME` in the context file"
        ) from None
