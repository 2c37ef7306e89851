"""Pipelines and their versions."""

from __future__ import annotations

import re

from tests.kfp_server import specs
from tests.kfp_server.bodies import Json, already_exists, invalid, new_id, not_found, now, parse
from tests.kfp_server.listing import page

MAX_NAME = 128  # validation/length.go: Pipeline.Name
MAX_VERSION_NAME = 127  # validation/length.go: PipelineVersion.Name
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class Pipelines:
    """What /pipelines holds. Versions are immutable: nothing here changes one.

    Attributes:
        may_upload: whether uploads are allowed, as not to who may only look.
    """

    def __init__(self) -> None:
        self.may_upload = True
        self.items: dict[str, Json] = {}
        self.versions: dict[str, Json] = {}

    def create(
        self, name: str, display_name: str, description: str, content: bytes, namespace: str = ""
    ) -> Json:
        """A pipeline with its first version, which takes its name (pipeline_upload_server.go)."""
        spec = specs.read_package(content)
        item = self._add(name, display_name, description, namespace)
        self._add_version(item["pipeline_id"], name, display_name or name, description, spec)
        return item

    def create_empty(self, raw: bytes) -> Json:
        """POST /pipelines makes a pipeline without a version (pipeline_server.go, CreatePipeline)."""
        body = parse(raw, "V2beta1Pipeline")
        shown = body.get("display_name") or ""
        told = (body.get("description") or "", body.get("namespace") or "")
        return self._add(body.get("name") or shown, shown, *told)

    def _add(self, name: str, display_name: str, description: str, namespace: str) -> Json:
        if not name.strip():
            raise invalid("The pipeline's name cannot be empty or contain only whitespace")
        if len(name) > MAX_NAME:
            raise invalid(f"Pipeline.Name length cannot exceed {MAX_NAME}")
        _check_object_name(name)
        there = ((item["name"], item["namespace"]) for item in self.items.values())
        if (name, namespace) in there:  # unique
            raise already_exists(f"The pipeline name {name} already exists.")
        identity = new_id()
        self.items[identity] = {
            "pipeline_id": identity,
            "name": name,
            "display_name": display_name or name,
            "description": description,
            "namespace": namespace,
            "created_at": now(),
        }
        return self.items[identity]

    def create_version(
        self, identity: str, name: str, display_name: str, description: str, content: bytes
    ) -> Json:
        if len(name) > MAX_VERSION_NAME:
            raise invalid(f"PipelineVersion.Name length cannot exceed {MAX_VERSION_NAME}")
        _check_object_name(name)
        spec = specs.read_package(content)
        if identity not in self.items:
            raise invalid("Failed to create a pipeline version")  # namespace lookup fails: 400
        if any(v["name"] == name for v in self._of(identity)):  # unique (pipeline, name)
            raise already_exists(f"The pipeline version name {name} already exists.")
        return self._add_version(identity, name, display_name or name, description, spec)

    def _add_version(
        self, identity: str, name: str, display_name: str, description: str, spec: Json
    ) -> Json:
        version = {
            "pipeline_id": identity,
            "pipeline_version_id": new_id(),
            "name": name,
            "display_name": display_name,
            "description": description,
            "created_at": now(),
            "pipeline_spec": spec,
        }
        self.versions[version["pipeline_version_id"]] = version
        return version

    def _of(self, identity: str) -> list[Json]:
        return [v for v in self.versions.values() if v["pipeline_id"] == identity]

    def get(self, identity: str) -> Json:
        if identity not in self.items:
            raise not_found("Pipeline", identity)
        return self.items[identity]

    def by_name(self, name: str) -> Json:
        for item in self.items.values():
            if item["name"] == name:
                return item
        raise not_found("Pipeline", name)

    def list(self, query: dict[str, str]) -> Json:
        """Of one namespace; without one, what is shared by all (pipeline_server.go, listPipelines)."""
        namespace = query.get("namespace", "")
        there = (item for item in self.items.values() if item["namespace"] == namespace)
        return page(there, query, "pipelines")

    def delete(self, identity: str, cascade: bool) -> Json:
        """Without `cascade`, only a pipeline without versions can go (resource_manager.go)."""
        self.get(identity)
        versions = self._of(identity)
        if versions and not cascade:
            raise invalid(f"pipeline {identity} has versions; delete them first or cascade")
        for version in versions:
            del self.versions[version["pipeline_version_id"]]
        del self.items[identity]
        return {}

    def get_version(self, identity: str, version: str) -> Json:
        found = self.versions.get(version)
        if found is None or found["pipeline_id"] != identity:
            raise not_found("PipelineVersion", version)
        return found

    def list_versions(self, identity: str, query: dict[str, str]) -> Json:
        self.get(identity)
        return page(self._of(identity), query, "pipeline_versions")

    def delete_version(self, identity: str, version: str) -> Json:
        self.get_version(identity, version)
        del self.versions[version]
        return {}

    def resolve(self, reference: Json) -> Json:
        """The version that a reference means now: without a version id, the newest one.

        Times are compared in whole seconds (pipeline_store.go, GetLatestPipelineVersion: ORDER BY
        CreatedAtInSec). Of two in one second the database may return either: here it is the older.
        """
        identity, version = reference.get("pipeline_id"), reference.get("pipeline_version_id")
        if version:
            found = self.versions.get(version)
            if found is None or (identity and found["pipeline_id"] != identity):
                raise not_found("PipelineVersion", version)
            return found
        if not identity:
            raise invalid("a pipeline version reference needs a pipeline id")
        self.get(identity)
        versions = self._of(identity)
        if not versions:
            raise not_found("PipelineVersion", f"(newest of {identity})")
        return max(versions, key=lambda version: str(version["created_at"])[:19])


def _check_object_name(name: str) -> None:
    """Of a server that keeps pipelines and versions as Kubernetes objects (crd/kubernetes/v2beta1).

    The name is then metadata.name, which must be a DNS-1123 subdomain.
    """
    if not re.fullmatch(rf"{LABEL}(\.{LABEL})*", name):
        raise invalid(
            f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 subdomain must consist of"
            " lower case alphanumeric characters, '-' or '.', and must start and end with one"
        )
