"""All checks in order: this machine, the storage, Kubeflow's API server, the cluster."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aegan.config import Config
from aegan.config_compute import Compute
from aegan.config_file import load_config
from aegan.errors import AeganError
from aegan_pipelines.cli_options import DEFAULT_ROOT
from aegan_pipelines.connection import Server, check_server
from aegan_pipelines.context import Context, in_cluster, read_context
from aegan_pipelines.doctor import cluster, image, machine, nodes, server, storage
from aegan_pipelines.doctor.check import SECONDS, Check, limited
from aegan_pipelines.rest import Api

BROKEN = "not tried: the context file comes first"


@dataclass(frozen=True)
class Request:
    """What to examine.

    Attributes:
        config: path of a YAML file or name of a preset; None leaves out what depends on it.
        overrides: of its settings, as `key=value`.
        root: folder or gs:// path of the outputs; None is the context's, or else the default.
        options: how to reach the cluster, as `read_context` takes them.
    """

    config: str | None = None
    overrides: tuple[str, ...] = ()
    root: str | None = None
    options: Mapping[str, str | None] = field(default_factory=dict)


def examine(request: Request) -> Iterator[Check]:
    """Each check as soon as it is done. No token, cookie or password is in any of them."""
    yield limited("Python", machine.python)
    yield from machine.packages()
    yield limited("GPU", machine.gpu, seconds=machine.IMPORT_SECONDS + SECONDS)
    context, broken = _context(request.options)
    yield from [broken] if broken else []
    root = request.root or context.root
    yield limited("disk", lambda: machine.disk(root or DEFAULT_ROOT))
    config = None
    if request.config is not None:
        config, check = _configuration(request.config, request.overrides)
        yield check
    if broken and root is None:  # it may stand in the file
        yield Check("root", "skip", BROKEN)
    else:
        yield from storage.root(root or DEFAULT_ROOT)
    if config is not None:
        pods = context.host is not None or "://" in (root or "")
        yield storage.source(config.data, in_pods=pods)
    told = None
    if broken:
        yield Check("API server", "skip", BROKEN)
    else:
        told = yield from _server(context)
    yield from _cluster(context, config, told)


def _context(options: Mapping[str, str | None]) -> tuple[Context, Check | None]:
    """Where the cluster is; of a context file that is broken, what the options say alone."""
    try:
        return in_cluster(read_context(**options)), None
    except AeganError as error:
        return Context(**options), Check("context", "fail", str(error), "correct the file")


def _configuration(source: str, overrides: tuple[str, ...]) -> tuple[Config | None, Check]:
    try:
        config = load_config(source, overrides)
    except AeganError as error:
        return None, Check("configuration", "fail", str(error), "correct the file")
    return config, Check("configuration", "ok", f"{source} is valid")


def _server(context: Context) -> Generator[Check, None, Server | None]:
    """Returns what the server told of itself, if it did."""
    if context.host is None:
        text = "no --host was given, AEGAN_HOST is not set, and no context file names one"
        yield Check("API server", "skip", text)
        return None
    found: list[tuple[Api, Server]] = []

    def reach() -> Check:
        api = server.open_api(context)
        found.append((api, check_server(api)))
        return server.api_server(*found[0])

    patience = 3 * SECONDS  # for two attempts
    first = limited("API server", reach, seconds=patience)
    yield first
    if first.status != "ok":
        return None
    api, told = found[0]
    yield server.api_version(told)
    yield limited("API access", lambda: server.api_access(api, context, told), seconds=patience)
    return told


def _cluster(context: Context, config: Config | None, told: Server | None) -> Iterator[Check]:
    found: list[tuple[Any, str] | Check] = []

    def connect() -> Check:
        found.append(cluster.connect())
        return Check("cluster", "ok", "")

    broken = limited("cluster", connect, "check the kubeconfig and its login command")
    if not found or isinstance(found[0], Check):
        yield found[0] if found and isinstance(found[0], Check) else broken
        return
    api, usual = found[0]
    space = context.namespace or usual
    expected = context.host is not None or context.namespace is not None
    first = limited("cluster", lambda: cluster.cluster(api, expected=expected))
    yield first
    if first.status != "ok":
        return
    configured = config.compute.service_account if config else None
    account = context.service_account or configured
    multi_user = told.multi_user if told else None
    yield limited("namespace", lambda: cluster.namespace(api, space))
    yield limited("permissions", lambda: cluster.permissions(api, space, multi_user))
    yield limited("service account", lambda: cluster.service_account(api, space, account))
    yield limited("Argo retries", lambda: cluster.argo_retries(api, space))
    if not config:
        return
    if names := nodes.pull_secrets(config.compute):
        yield limited("pull secrets", lambda: cluster.pull_secrets(api, space, names))
    yield from _nodes(api, config.compute)


def _nodes(api: Any, compute: Compute) -> Iterator[Check]:
    """Nodes, tolerations and images: a line each for all steps that ask for the same."""
    listed: list[Any] = []

    def look() -> Check:
        found = nodes.list_nodes(api)
        if isinstance(found, Check):
            return found
        listed.extend(found)
        return Check("node pools", "ok", "")

    first = limited("node pools", look)
    if first.status != "ok":
        yield first
    for names, step in nodes.alike(compute, nodes.placement) if first.status == "ok" else ():
        pools, fitting = nodes.node_pools(listed, step)
        for check in (pools, nodes.tolerations(fitting, step)):
            yield replace(check, text=f"{names}: {check.text}")
    for names, step in nodes.alike(compute, lambda step: step.image):
        look_up = functools.partial(image.image, step.image, nodes.holding(listed, step.image))
        check = limited("image", look_up, seconds=3 * SECONDS)
        yield replace(check, text=f"{names}: {check.text}")
