"""Experiments."""

from __future__ import annotations

from tests.kfp_server.bodies import (
    ApiError,
    Json,
    already_exists,
    invalid,
    new_id,
    not_found,
    now,
    parse,
)
from tests.kfp_server.listing import page

MAX_NAME = 128  # validation/length.go


class Experiments:
    """What /experiments holds."""

    def __init__(self) -> None:
        self.items: dict[str, Json] = {}
        # The server makes one at its first start, for runs that name none (main.go, initConfig).
        self.default = self._add({"display_name": "Default"})["experiment_id"]

    def create(self, raw: bytes) -> Json:
        body = parse(raw, "V2beta1Experiment")
        name = body.get("display_name") or ""
        if not name:
            raise invalid("Experiment name is empty. Please specify a valid experiment name")
        if len(name) > MAX_NAME:
            raise invalid(f"Experiment name is longer than {MAX_NAME}")
        namespace = body.get("namespace") or ""
        for other in self.items.values():  # experiment_store.go: unique (name, namespace)
            if (other["display_name"], other.get("namespace", "")) == (name, namespace):
                raise already_exists(f"The name {name} already exist. Please specify a new name.")
        return self._add(body)

    def _add(self, body: Json) -> Json:
        identity = new_id()
        item = body | {"experiment_id": identity, "created_at": now()}
        self.items[identity] = item | {"storage_state": "AVAILABLE"}
        return self.items[identity]

    def get(self, identity: str) -> Json:
        if identity not in self.items:
            raise not_found("Experiment", identity)
        return self.items[identity]

    def list(self, query: dict[str, str]) -> Json:
        namespace = query.get("namespace", "")
        there = (e for e in self.items.values() if e.get("namespace", "") in ("", namespace))
        return page(there, query, "experiments")

    def set_archived(self, identity: str, archived: bool) -> Json:
        self.get(identity)["storage_state"] = "ARCHIVED" if archived else "AVAILABLE"
        return {}

    def delete(self, identity: str) -> Json:
        self.get(identity)
        if identity == self.default:
            raise ApiError(400, "the default experiment is in use")
        del self.items[identity]
        return {}

    def holds(self, item: Json, namespace: str) -> bool:
        """Whether a run or a schedule is of a namespace: that of its experiment; none means any."""
        own = self.items.get(str(item.get("experiment_id")), {}).get("namespace", "")
        return namespace in ("", own)

    def of_run(self, identity: str | None) -> str:
        """The experiment of a run; none given means the default (GetValidExperimentNamespacePair)."""
        experiment = self.get(identity or self.default)
        if experiment["storage_state"] == "ARCHIVED":
            raise ApiError(412, "the experiment is archived and takes no runs")
        return str(experiment["experiment_id"])
