"""What healthz says, of the API server itself and of the user interface before it."""

from __future__ import annotations

from tests.kfp_server.bodies import Json


def health(tag: str, multi_user: bool, *, through_ui: bool, ready: bool) -> Json:
    """main.go, startHTTPProxy: written by hand, with more than the API's model of it has."""
    if through_ui:
        return _of_ui(tag, multi_user, ready)
    told = {"commit_sha": "unknown", "tag_name": tag, "multi_user": multi_user}
    return told | {"pipeline_store": "database"}


def _of_ui(tag: str, multi_user: bool, ready: bool) -> Json:
    """frontend/server/handlers/healthz.ts: in words of its own, and 200 whatever the API server does.

    Here it was never ready before: the real one then goes on to tell what it was told last.
    """
    own = {"buildDate": "today", "frontendCommitHash": "unknown", "frontendTagName": "unknown"}
    if not ready:
        return own | {"apiServerReady": False}
    told = {"apiServerCommitHash": "unknown", "apiServerTagName": tag, "apiServerReady": True}
    return own | told | {"apiServerMultiUser": multi_user, "multi_user": multi_user}
