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

import yaml

from aegan.errors import ConfigError

HOST_VARIABLE, CONTEXT_VARIABLE = "AEGAN_HOST", "AEGAN_CONTEXT"
TOKEN_VARIABLE, COOKIE_VARIABLE = "AEGAN_TOKEN", "AEGAN_COOKIE"
NAMESPACE_VARIABLE = "AEGAN_NAMESPACE"
TOKEN_PATH_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
PROJECTED_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
SECRETS = ("token", "cookie")


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
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError:  # its message quotes the file, and so perhaps a token
        raise ConfigError(
            f"{path} is not valid YAML: expected lines like `host: https://…`"
        ) from None
    known = [f.name for f in fields(Context)]
    if not isinstance(tree, dict) or not all(isinstance(value, str) for value in tree.values()):
        raise ConfigError(f"{path}: expected lines `name: text`, with names of {', '.join(known)}")
    if unknown := sorted(set(tree) - set(known)):
        raise ConfigError(
            f"{path}: no such setting: {', '.join(unknown)}; expected one of {', '.join(known)}"
        )
    if any(name in tree for name in SECRETS) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path} holds a secret and can be read by others (mode {stat.S_IMODE(mode):04o},"
            f" expected 0600): chmod 600 {path}"
        )
    return tree


def in_cluster(context: Context) -> Context:
    """The context with the host and the token that a pod knows, where no host is named."""
    if context.host or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return context
    context = replace(context, host=IN_CLUSTER)
    has_other = context.token or context.token_file or context.iap_client_id
    if has_other or not Path(PROJECTED_TOKEN).exists():
        return context
    return replace(context, token_file=PROJECTED_TOKEN)


def without_password(host: str) -> str:
    """An address without the user and password that may stand in it."""
    return re.sub(r"^(\w+://)?.*@", r"\1", host)
