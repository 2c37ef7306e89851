"""The API server of Kubeflow Pipelines: reachable, of the right version, and willing to serve us.

Asked as every command asks it, by `aegan_pipelines.connection`, whose errors say what to do.
"""

from __future__ import annotations

import re

from aegan_pipelines.connection import Server, connect, in_namespace
from aegan_pipelines.context import Context
from aegan_pipelines.doctor.check import SECONDS, Check
from aegan_pipelines.rest import Api

TESTED = (2, 17)
ATTEMPTS = 2  # what fails once and then does not is no failure


def open_api(context: Context) -> Api:
    """The API of the context's cluster, asked with a doctor's patience."""
    return connect(context, timeout=SECONDS, attempts=ATTEMPTS)


def api_server(api: Api, told: Server) -> Check:
    """Where the server is that told of itself, and whom it serves."""
    modes = {True: ", multi-user", False: ", single-user", None: ""}
    return Check("API server", "ok", f"{api.host}{modes[told.multi_user]}")


def api_version(told: Server) -> Check:
    """The server's release, where it tells: that it has API v2beta1 is known."""
    name, wanted = "API version", ".".join(map(str, TESTED))
    numbers = re.match(r"v?(\d+)\.(\d+)", told.version)
    if numbers is None:
        return Check(name, "ok", "v2beta1; the server does not tell its release")
    release = (int(numbers[1]), int(numbers[2]))
    if release < TESTED:
        text = f"release {told.version} is older than {wanted}"
        return Check(name, "warn", text, f"update it to {wanted}")
    if release[0] > TESTED[0]:
        text = f"release {told.version} is newer than {wanted}, with which aegan was tested"
        return Check(name, "warn", text, "pip install --upgrade aegan")
    return Check(name, "ok", f"v2beta1, release {told.version}")


def api_access(api: Api, context: Context, told: Server) -> Check:
    """Whether this account may look at the runs of the namespace.

    Raises:
        AeganError: it may not, or no namespace is known where one is wanted.
    """
    namespace = in_namespace(context, told).namespace
    if namespace is None:
        api.get("/runs", page_size=1)
    else:
        api.get("/runs", page_size=1, namespace=namespace)
    place = f" of the namespace {namespace}" if namespace else ""
    who = api.credentials.describe()
    return Check("API access", "ok", f"runs{place} can be listed, with {who}")
