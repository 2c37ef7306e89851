"""Where the cluster is and who we are there: options, then environment, then a context file.

    # ~/.config/aegan/context.yaml, or the file that AEGAN_CONTEXT names
    host: https://kubeflow.example.com/pipeline
    namespace: team-a            # of a multi-user Kubeflow
    experiment: shirts
    root: gs://bucket/aegan
    service_account: aegan
    token_file: ~/.kube/token    # or cookie_file, or iap_client_id
    ca_certificate: /etc/ssl/company.pem

A file that holds a secret itself (`token`, `cookie`) must be readable by its owner alone. Inside a
cluster nothing is needed: the service's name is known, and the token that Kubernetes projects is used.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from aegan.errors import ConfigError
from aegan_pipelines.credentials import Credentials
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import ATTEMPTS, PREFIX, READ_SECONDS, Api

HOST_VARIABLE, CONTEXT_VARIABLE = "AEGAN_HOST", "AEGAN_CONTEXT"
TOKEN_VARIABLE, COOKIE_VARIABLE = "AEGAN_TOKEN", "AEGAN_COOKIE"
NAMESPACE_VARIABLE = "AEGAN_NAMESPACE"
TOKEN_PATH_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
PROJECTED_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
SECRETS = ("token", "cookie")
OLDEST_SERVER = (2, 0)


@dataclass(frozen=True)
class Context:
    """How to reach a cluster, and what to use there unless told otherwise."""

    host: str | None = None
    namespace: str | None = None
    experiment: str | None = None
    root: str | None = None
    service_account: str | None = None
    token: str | None = None
    token_file: str | None = None
    cookie: str | None = None
    cookie_file: str | None = None
    iap_client_id: str | None = None
    ca_certificate: str | None = None

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        shown |= {name: "***" for name in SECRETS if shown[name]}
        shown["host"] = without_password(self.host or "")
        return f"Context({', '.join(f'{k}={v!r}' for k, v in shown.items() if v)})"


def read_context(**options: str | None) -> Context:
    """Options that were given, else the environment, else the context file.

    A secret of a nearer source replaces those of the farther ones, of whatever kind they are.

    Raises:
        ConfigError: the file is not readable, or holds a secret that others can read.
    """
    environment = {
        "host": os.environ.get(HOST_VARIABLE),
        "namespace": os.environ.get(NAMESPACE_VARIABLE),
        "token": os.environ.get(TOKEN_VARIABLE),
        "cookie": os.environ.get(COOKIE_VARIABLE),
        "token_file": os.environ.get(TOKEN_PATH_VARIABLE),
    }
    context = Context()
    for layer in (_read_file(), environment, options):
        given = {name: value for name, value in layer.items() if value}
        if any(name in given for name in ("token", "token_file", "iap_client_id")):
            context = replace(context, token=None, token_file=None, iap_client_id=None)
        if any(name in given for name in ("cookie", "cookie_file")):
            context = replace(context, cookie=None, cookie_file=None)
        context = replace(context, **given)
    return context


def _read_file() -> dict[str, str]:
    named = os.environ.get(CONTEXT_VARIABLE)
    path = Path(named or "~/.config/aegan/context.yaml").expanduser()
    try:
        text = path.read_text("utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        if named:
            raise ConfigError(f"{CONTEXT_VARIABLE} names {path}, which does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the context file {path}: {error}") from None
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError:  # its message quotes the file, and so perhaps a token
        raise ConfigError(
            f"{path} is not valid YAML: expected lines like `host: https://…`"
        ) from None
    known = [f.name for f in fields(Context)]
    if not isinstance(tree or {}, dict) or any(
        not isinstance(v, str) for v in (tree or {}).values()
    ):
        raise ConfigError(f"{path}: expected lines `name: text`, with names of {', '.join(known)}")
    unknown = sorted(set(tree or {}) - set(known))
    if unknown:
        raise ConfigError(
            f"{path}: no such setting: {unknown[0]}; expected one of {', '.join(known)}"
        )
    if any(name in (tree or {}) for name in SECRETS) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path} holds a secret and can be read by others (mode {stat.S_IMODE(mode):04o},"
            f" expected 0600): chmod 600 {path}"
        )
    return dict(tree or {})


def in_cluster(context: Context) -> Context:
    """The context with the host and the token that a pod knows, where no host is named."""
    if context.host or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return context
    context = replace(context, host=IN_CLUSTER)
    has_other = context.token or context.token_file or context.iap_client_id
    if has_other or not Path(PROJECTED_TOKEN).exists():
        return context
    return replace(context, token_file=PROJECTED_TOKEN)


def connect(context: Context, *, timeout: float = READ_SECONDS, attempts: int = ATTEMPTS) -> Api:
    """The API of the context's cluster; reaches nothing yet.

    Args:
        context: see `read_context`.
        timeout: seconds to wait for an answer.
        attempts: how often a request is sent that fails in a way that may pass.

    Raises:
        ConfigError: no host is known, it is no address or holds a password, or the cookie file or the
            certificates cannot be read.
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
    if urlsplit(host).scheme not in ("http", "https") or not urlsplit(host).hostname:
        raise ConfigError(
            f"--host {host}: expected an address such as https://kubeflow.example.com"
        )
    credentials = Credentials(
        token=context.token,
        token_file=context.token_file,
        cookie=context.cookie or _read_cookie(context.cookie_file),
        iap_client_id=context.iap_client_id,
    )
    authority = _authority(context.ca_certificate)
    return Api(host, credentials, ca_certificate=authority, timeout=timeout, attempts=attempts)


def without_password(host: str) -> str:
    """An address without the user and password that may stand in it."""
    return re.sub(r"^(\w+://)?.*@", r"\1", host)


def _read_cookie(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        text = Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read the cookie file {path}") from None
    return text if "=" in text else f"authservice_session={text}"


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
    version = api.credentials.redact(str(health.get("tag_name") or ""))
    version = version.removeprefix("unknown")
    if not speaks_v2 or _numbers(version) < OLDEST_SERVER:
        raise ClusterError(
            f"{api.host} runs Kubeflow Pipelines {version or '1.x'}: expected 2.0 or newer (tested with"
            " 2.17). Have the cluster upgraded, or use another --host",
            404,
        )
    return Server(version, health.get("multi_user"))


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
