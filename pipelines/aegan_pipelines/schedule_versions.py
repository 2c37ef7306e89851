"""Which pipeline version a schedule runs.

A schedule of `pinned`, or of a version's name, carries the version's id. One of `latest` carries none:
each time it fires, the server takes the version of its pipeline that was uploaded last, by whom ever.
Versions can neither be changed nor moved, so a configuration that has been overtaken is made the newest
again by uploading it once more, under the hash of its content, the time and four random digits.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from aegan_pipelines import cluster
from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import Api, Json

# The server orders versions by whole seconds (pipeline_store.go, GetLatestPipelineVersion): of two
# that were made in one second, either may be the newest.
TIE_SECONDS = 1.1
MOST_UPLOADS = 4


@dataclass(frozen=True)
class Standing:
    """How a schedule's version stands on the server.

    Attributes:
        version: the version of the name it wants; None if there is none, and for `latest`.
        newest: whether the package it was made from is what `latest` means now.
    """

    version: Json | None
    newest: bool


def look_up(api: Api, pipeline: str, version: str | None, digest: str, namespace: str) -> Standing:
    """How things stand; only reads.

    Args:
        api: of the cluster.
        pipeline: its name.
        version: its name; None for `latest`.
        digest: of the package; see `submission.version_name`.
        namespace: of the pipeline, or empty.
    """
    found = cluster.find(api, "/pipelines", "pipelines", pipeline, namespace)
    if found is None:
        return Standing(None, False)
    pipeline_id = str(found["pipeline_id"])
    if version is None:
        return Standing(None, is_newest(api, pipeline_id, digest))
    path = f"/pipelines/{pipeline_id}/versions"
    return Standing(cluster.find(api, path, "pipeline_versions", version), False)


def is_newest(api: Api, pipeline_id: str, digest: str) -> bool:
    """Whether the newest version has the content of this digest, without any doubt."""
    path = f"/pipelines/{pipeline_id}/versions"
    page = api.get(path, sort_by="created_at desc", page_size=2)
    first, *others = page.get("pipeline_versions") or [{}]
    if not _has_content(first, digest):
        return False
    return all(_has_content(o, digest) or _second(o) < _second(first) for o in others)


def _has_content(version: Json, digest: str) -> bool:
    return str(version.get("display_name")).partition("-")[0] == digest


def _second(version: Json) -> str:
    return str(version.get("created_at"))[: len("2030-01-15T12:00:00")]


def make_newest(api: Api, pipeline_id: str, digest: str, package: bytes) -> None:
    """Upload a package, again if need be, until it is what `latest` means.

    Raises:
        ClusterError: others upload to the same pipeline all the time.
    """
    for number in range(MOST_UPLOADS):
        if is_newest(api, pipeline_id, digest):
            return
        if number:
            time.sleep(TIE_SECONDS)
        name, path = digest, f"/pipelines/{pipeline_id}/versions"
        if cluster.find(api, path, "pipeline_versions", name) is not None:
            # Lower case: a server that keeps versions in Kubernetes gives its objects this name.
            name = f"{digest}-{datetime.now(UTC):%Y%m%dt%H%M%S}-{uuid.uuid4().hex[:4]}"
        cluster.ensure_version(api, pipeline_id, name, package)
    if not is_newest(api, pipeline_id, digest):
        raise ClusterError(
            f"version {digest} was uploaded {MOST_UPLOADS} times and is not the newest: others upload to"
            " the same pipeline at the same time; apply again when they are done"
        )
