"""What a person is told when the cluster cannot be reached or refuses."""

from __future__ import annotations

import json
import re

import urllib3

from aegan.errors import AeganError
from aegan_pipelines.credentials import Credentials

TRANSIENT = (429, 500, 502, 503, 504)
MESSAGE_CHARACTERS = 400
# Uploads do not pass the API's gateway: who may not upload is answered 400, in words that changed.
UPLOADS, OF_RIGHTS = "/pipelines/upload", re.compile(r"authoriz|permission", re.IGNORECASE)


class ClusterError(AeganError):
    """The cluster could not be reached or refused.

    Attributes:
        status: of the HTTP answer; 0 where there was none.
    """

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


def unreachable(host: str, problem: Exception, credentials: Credentials) -> ClusterError:
    """There was no answer."""
    reason = credentials.redact(_reason(problem))
    return ClusterError(
        f"cannot reach Kubeflow Pipelines at {host}: {reason}. Check --host (or AEGAN_HOST),"
        " the network, and `kubectl port-forward` if you use it"
    )


def refused(
    host: str,
    call: str,
    answer: urllib3.BaseHTTPResponse,
    credentials: Credentials,
    attempts: int,
) -> ClusterError:
    """The answer was not 2xx.

    Args:
        host: that answered.
        call: `METHOD path`.
        answer: of the last attempt.
        credentials: that were sent.
        attempts: how often a call is made that fails in a way that may pass.
    """
    status, said = answer.status, credentials.redact(_message(answer))
    told = f" ({said})" if said else ""
    if status == 401 or 300 <= status < 400:  # a gateway sends people to a page to log in
        return ClusterError(
            f"{host} does not know who you are: HTTP {status}{told}. It got"
            f" {credentials.describe()}; give --token-file, --cookie-file or --iap-client-id,"
            " or set AEGAN_TOKEN; a token that expired must be fetched anew",
            401,
        )
    path = call.partition(" ")[2]
    if status == 400 and path.startswith(UPLOADS) and OF_RIGHTS.search(said):
        status = 403
    if status == 403:
        return ClusterError(
            f"{host} does not allow this: HTTP {answer.status}{told}. Check --namespace, and ask for the"
            " role kubeflow-edit in it",
            403,
        )
    if status == 404:
        return ClusterError(
            f"not found at {host}: {path}{told}. Check the name or id, and --namespace", 404
        )
    if status in TRANSIENT:
        return ClusterError(
            f"{host} failed: HTTP {status}{told}, {attempts} times in a row."
            " Try again later, or look at the logs of the deployment ml-pipeline",
            status,
        )
    return ClusterError(f"{host} refused {call}: HTTP {status}{told}", status)


def _reason(problem: Exception) -> str:
    if isinstance(problem, urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    return str(problem).rsplit(": ", 1)[-1] or type(problem).__name__


def _message(answer: urllib3.BaseHTTPResponse) -> str:
    """The server's own words, short; a page of HTML says nothing."""
    try:
        tree = json.loads(answer.data)
        text = str(tree.get("message") or tree.get("error_message") or tree.get("error") or "")
    except (ValueError, AttributeError):
        text = ""
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}…"
