"""What the storage client raises becomes one of our errors."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core.exceptions import Forbidden, NotFound, PreconditionFailed
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from aegan.errors import PreconditionError, StoreError
from aegan.gcs_errors import explained


def answer(status: int) -> Any:
    found = requests.Response()
    found.status_code = status
    return found


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (PreconditionFailed("x"), PreconditionError, "gs://b/x was written by someone else"),
        # Which of the two comes, depends on the way of the upload and the client's version.
        (InvalidResponse(answer(412), "x"), PreconditionError, "gs://b/x was written by someone"),
        (InvalidResponse(answer(400), "y"), StoreError, "gs://b/x: the bucket refused: .*y"),
        (
            InvalidResponse(answer(403), "y"),
            StoreError,
            "no right to do that at gs://b/x: .*y; `ae",
        ),
        (
            Forbidden("y"),
            StoreError,
            "no right .* at gs://b/x: .*y; `aegan doctor --root ROOT` says",
        ),
        (DataCorruption(answer(200), "y"), StoreError, "gs://b/x arrived damaged: .*y"),
        (NotFound("y"), StoreError, "gs://b/x was not found; check that the bucket exists"),
        (DefaultCredentialsError("y"), StoreError, "no credentials for gs://b/x: y; run `gcloud"),
        (ConnectionResetError("y"), StoreError, "cannot reach gs://b/x: y"),
    ],
)
def test_each_becomes_one_error(raised: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught, explained("gs://b/x/"):
        raise raised
    assert type(caught.value) is kind
