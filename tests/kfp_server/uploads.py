"""Uploads: multipart over HTTP, beside the gRPC gateway and with errors of their own shape."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import unquote_plus

from tests.kfp_server.bodies import ApiError, Json, invalid
from tests.kfp_server.pipelines import Pipelines

PART = "uploadfile"  # pipeline_upload_server.go: FormFileKey
# What canUploadVersionedPipeline says, up to 2.17 and after it, both as 400.
DENIED = "Failed to create a pipeline version due to authorization error: Authorization Failure"
DENIED_NEWER = "pipeline upload denied: permission to create pipelines in the namespace is required"


class UploadError(ApiError):
    """An error as writeErrorToResponse writes it: not that of the gateway."""

    def body(self) -> Json:
        return {"error_message": self.message, "error_details": self.message}


def upload_pipeline(pipelines: Pipelines, query: dict[str, str], kind: str, raw: bytes) -> Json:
    """POST /pipelines/upload: only `name` makes the name, the file's name in its absence."""
    filename, content = _file(kind, raw)
    _authorize(pipelines)
    name = unquote_plus(query.get("name", "")) or query.get("display_name", "") or filename
    try:
        told = (query.get("display_name", ""), query.get("description", ""))
        return pipelines.create(name, *told, content, query.get("namespace", ""))
    except ApiError as error:
        raise UploadError(error.status, error.message) from None


def upload_version(pipelines: Pipelines, query: dict[str, str], kind: str, raw: bytes) -> Json:
    """POST /pipelines/upload_version: `pipelineid` says of what."""
    filename, content = _file(kind, raw)
    _authorize(pipelines)
    name = unquote_plus(query.get("name", "")) or query.get("display_name", "") or filename
    try:
        if not query.get("pipelineid"):
            raise invalid("Failed to create a pipeline version")
        return pipelines.create_version(
            query["pipelineid"],
            name,
            query.get("display_name", ""),
            query.get("description", ""),
            content,
        )
    except ApiError as error:
        raise UploadError(error.status, error.message) from None


def _authorize(pipelines: Pipelines) -> None:
    """Who may not upload is answered 400, where the gateway says 403."""
    if not pipelines.may_upload:
        raise UploadError(400, DENIED)


def _file(kind: str, raw: bytes) -> tuple[str, bytes]:
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
    if not message.is_multipart():
        raise UploadError(400, "Failed to read pipeline from file")
    for part in message.iter_parts():
        if part.get_param("name", header="content-disposition") == PART:
            filename = part.get_filename() or ""
            if not filename.endswith((".yaml", ".yml")):  # archives, too, on the real server
                raise UploadError(400, "Unexpected pipeline file format. Support YAML.")
            payload = part.get_payload(decode=True)
            return filename, payload if isinstance(payload, bytes) else b""
    raise UploadError(400, "Failed to read pipeline from file")
