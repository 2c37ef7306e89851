"""What we do on a Kubeflow Pipelines server: find, upload, start, look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aegan_pipelines.refusals import ClusterError
from aegan_pipelines.rest import Api, Json

PAGE_SIZE = 100
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


def pages(api: Api, path: str, key: str, **query: str | int) -> Iterator[Json]:
    """All items of a list, over all its pages."""
    query = {name: value for name, value in query.items() if value != ""}
    token = ""
    while True:
        page = api.get(
            path, page_size=PAGE_SIZE, **query, **({"page_token": token} if token else {})
        )
        yield from page.get(key) or []
        token = str(page.get("next_page_token") or "")
        if not token:
            return


def named(name: str) -> str:
    """A filter for things of a display name.

    The server unescapes it once more than HTTP does: the two signs that this would change are escaped.
    """
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return json.dumps({"predicates": [predicate]}).replace("%", "%25").replace("+", "%2B")


def find(api: Api, path: str, key: str, name: str, namespace: str = "") -> Json | None:
    """The thing of exactly this display name, if there is one; the server ignores case."""
    there = pages(api, path, key, filter=named(name), namespace=namespace)
    return next((item for item in there if item.get("display_name") == name), None)


def ensure_experiment(api: Api, name: str, namespace: str) -> str:
    """Id of the experiment of this name, made if there is none."""

    def look() -> Json | None:
        return find(api, "/experiments", "experiments", name, namespace)

    body = {"display_name": name} | ({"namespace": namespace} if namespace else {})
    return str((look() or api.create("/experiments", body, look))["experiment_id"])


def ensure_pipeline(api: Api, name: str, namespace: str) -> str:
    """Id of the pipeline of this name, made without a version if there is none.

    An upload would make it, too, but would name its first version after the pipeline.
    """

    def look() -> Json | None:
        return find(api, "/pipelines", "pipelines", name, namespace)

    body = {"display_name": name, "name": name} | ({"namespace": namespace} if namespace else {})
    return str((look() or api.create("/pipelines", body, look))["pipeline_id"])


def ensure_version(api: Api, pipeline_id: str, name: str, package: bytes) -> tuple[str, bool]:
    """Id of the version of this name, and whether it had to be uploaded for that."""
    path = f"/pipelines/{pipeline_id}/versions"

    def look() -> Json | None:
        return find(api, path, "pipeline_versions", name)

    found = look()
    query = {"name": name, "pipelineid": pipeline_id}
    made = found or api.upload("/pipelines/upload_version", "pipeline.yaml", package, look, query)
    return str(made["pipeline_version_id"]), found is None


def create_run(api: Api, body: Json, namespace: str) -> Json:
    """Start a run whose display name is used for it alone, exactly once."""
    name = str(body["display_name"])
    return api.create("/runs", body, lambda: find(api, "/runs", "runs", name, namespace))


def get_run(api: Api, run_id: str) -> Json:
    """A run as the server knows it.

    Raises:
        ClusterError: there is none, or the server cannot read it.
    """
    run = api.get(f"/runs/{run_id}")
    if (reason := unreadable(run)) is not None:
        raise ClusterError(
            f"the server cannot read run {run_id}: {reason}. Look at the logs of the deployment"
            " ml-pipeline, or start another run"
        )
    return run


def state_of(run: Json) -> str:
    """Its state; CANCELED also where the server says FAILED of what it was told to end.

    A cancelled workflow fails, by a deadline that has passed, and the server keeps Argo's word.
    """
    state = str(run.get("state") or "")
    before = [entry.get("state") for entry in run.get("state_history") or []]
    while before and before[-1] == state:
        before.pop()
    return "CANCELED" if state == "FAILED" and before[-1:] == ["CANCELING"] else state


def cancel_run(api: Api, run_id: str) -> str:
    """Tell a run to end; returns the state it is in then. One that has ended is left as it is."""
    state = state_of(get_run(api, run_id))
    if state in FINAL_STATES:
        return state
    try:
        api.act(f"/runs/{run_id}:terminate")
    except ClusterError as error:
        if error.status != 400:  # it ended meanwhile
            raise
    return state_of(get_run(api, run_id))


def finished_at(run: Json) -> str | None:
    """When a run ended; of one that has not, the server tells the epoch."""
    when = str(run.get("finished_at") or "")
    return None if when.startswith("1970-01-01T00:00:00") else when or None


def unreadable(item: Json) -> str | None:
    """Why the server cannot tell what a run or a schedule is; it then gives ids and an error alone."""
    if item.get("display_name"):
        return None
    return str((item.get("error") or {}).get("message") or "it has no name")


def parameters(run: Json) -> dict[str, Any]:
    """The parameters a run was started with."""
    return dict((run.get("runtime_config") or {}).get("parameters") or {})


def spec_of(api: Api, run: Json) -> Json:
    """The PipelineSpec that a run executes, from itself or from its pipeline version."""
    spec = run.get("pipeline_spec")
    if not spec:
        reference = run.get("pipeline_version_reference") or {}
        place = f"/pipelines/{reference.get('pipeline_id')}/versions"
        spec = api.get(f"{place}/{reference.get('pipeline_version_id')}").get("pipeline_spec") or {}
    return dict(spec.get("pipeline_spec") or spec)


def effective_parameters(api: Api, run: Json) -> dict[str, Any]:
    """Parameters with the package's defaults for those not given: `config`, `root`, `fresh`."""
    return defaults(spec_of(api, run)) | parameters(run)


def defaults(spec: Json) -> dict[str, Any]:
    """The parameters of a package that have a default."""
    declared = ((spec.get("root") or {}).get("inputDefinitions") or {}).get("parameters") or {}
    return {k: v["defaultValue"] for k, v in declared.items() if "defaultValue" in v}


def link(api: Api, run_id: str) -> str:
    """Where a person looks at a run."""
    return f"{api.host}/#/runs/details/{run_id}"
