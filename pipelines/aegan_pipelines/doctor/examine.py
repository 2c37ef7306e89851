"""All checks in order: this machine, the storage, Kubeflow's API server, the cluster."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from aegan.compute_steps import step_of
from aegan.config import Config
from aegan.config_file import load_config
from aegan.errors import AeganError
from aegan_pipelines.doctor import cluster, image, machine, nodes, server, storage
from aegan_pipelines.doctor.check import SECONDS, Check, limited


@dataclass(frozen=True)
class Request:
    """What to examine.

    Attributes:
        config: path of a YAML file or name of a preset; None leaves out what depends on it.
        root: folder or gs:// path of the outputs.
        host: address of the API server, or None.
        namespace: where runs are to be; None is the kubeconfig's.
        token_file: file with a bearer token for the API server.
    """

    config: str | None
    root: str
    host: str | None = None
    namespace: str | None = None
    token_file: str | None = None


def examine(request: Request) -> Iterator[Check]:
    """Each check as soon as it is done. Nothing that a token says is in any of them."""
    try:
        token, problem = server.read_token(request.token_file), None
    except AeganError as error:
        token, problem = None, Check("token", "fail", str(error))
    for check in _all(request, token, problem):
        yield _redacted(check, token)


def _redacted(check: Check, token: str | None) -> Check:
    """A server may send back what it was sent."""
    if not token:
        return check
    return replace(
        check, text=check.text.replace(token, "***"), cure=check.cure.replace(token, "***")
    )


def _all(request: Request, token: str | None, problem: Check | None) -> Iterator[Check]:
    yield limited("Python", machine.python)
    yield from machine.packages()
    yield machine.gpu()
    yield limited("disk", lambda: machine.disk(request.root))
    config = None
    if request.config is not None:
        config, check = _configuration(request.config)
        yield check
    yield from storage.root(request.root)
    if config is not None:
        pods = request.host is not None or "://" in request.root
        yield storage.source(config.data, in_pods=pods)
    yield from [problem] if problem else []
    yield from _server(request, token)
    yield from _cluster(request, config)


def _configuration(source: str) -> tuple[Config | None, Check]:
    try:
        config = load_config(source)
    except AeganError as error:
        return None, Check("configuration", "fail", str(error), "correct the file")
    return config, Check("configuration", "ok", f"{source} is valid")


def _server(request: Request, token: str | None) -> Iterator[Check]:
    host = request.host
    if host is None:
        yield Check("API server", "skip", "no --host was given and AEGAN_HOST is not set")
        return
    first = limited("API server", lambda: server.api_server(host, token), seconds=2 * SECONDS)
    yield first
    if first.status == "ok":
        yield limited("API version", lambda: server.api_version(host, token))
        yield limited("API access", lambda: server.api_access(host, token, request.namespace))


def _cluster(request: Request, config: Config | None) -> Iterator[Check]:
    found: list[tuple[Any, str] | Check] = []

    def connect() -> Check:
        found.append(cluster.connect())
        return Check("cluster", "ok", "")

    broken = limited("cluster", connect, "check the kubeconfig and its login command")
    if not found or isinstance(found[0], Check):
        yield found[0] if found and isinstance(found[0], Check) else broken
        return
    api, usual = found[0]
    space = request.namespace or usual
    expected = request.host is not None or request.namespace is not None
    first = limited("cluster", lambda: cluster.cluster(api, expected=expected))
    yield first
    if first.status != "ok":
        return
    account = config.compute.service_account if config else None
    yield limited("namespace", lambda: cluster.namespace(api, space))
    yield limited("permissions", lambda: cluster.permissions(api, space))
    yield limited("service account", lambda: cluster.service_account(api, space, account))
    yield limited("Argo retries", lambda: cluster.argo_retries(api, space))
    if config:
        yield from _nodes(api, _needs(config))


def _needs(config: Config) -> dict[str, Any]:
    """What the step that trains the GAN, the last to ask for an accelerator, asks for."""
    step = step_of(config.compute, "train_gan")
    tolerations = [toleration.model_dump(mode="json") for toleration in step.tolerations]
    return asdict(step) | {"tolerations": tolerations}


def _nodes(api: Any, compute: dict[str, Any]) -> Iterator[Check]:
    found: list[Any] = []

    def look() -> Check:
        listed = nodes.list_nodes(api)
        if isinstance(listed, Check):
            return listed
        check, fitting = nodes.node_pools(listed, compute)
        found.extend((listed, fitting))
        return check

    yield limited("node pools", look)
    listed, fitting = found if found else ([], [])
    if found:
        yield limited("tolerations", lambda: nodes.tolerations(fitting, compute))
    name = compute["image"]
    look_up = functools.partial(image.image, name, nodes.holding(listed, name))
    yield limited("image", look_up, seconds=3 * SECONDS)
