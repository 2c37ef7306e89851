"""What the storage client raises, in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from aegan.errors import PreconditionError, StoreError


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn the client's exceptions into ours; 412 comes as either of two types.

    Args:
        where: URI of what was asked for.
    """
    from google.api_core.exceptions import (
        Forbidden,
        GoogleAPIError,
        NotFound,
        PreconditionFailed,
    )
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    where = where.rstrip("/")
    try:
        yield
    except StoreError:
        raise
    except PreconditionFailed:
        raise PreconditionError(f"{where} was written by someone else meanwhile") from None
    except InvalidResponse as error:
        if getattr(error.response, "status_code", None) == 412:
            raise PreconditionError(f"{where} was written by someone else meanwhile") from None
        if getattr(error.response, "status_code", None) == 403:
            raise _forbidden(where, error) from error
        raise StoreError(f"{where}: the bucket refused: {error}") from error
    except DataCorruption as error:
        raise StoreError(f"{where} arrived damaged: {error}") from error
    except GoogleAuthError as error:
        raise StoreError(
            f"no credentials for {where}: {error};"
            " run `gcloud auth application-default login` or mount a service account"
        ) from error
    except NotFound as error:
        raise StoreError(f"{where} was not found; check that the bucket exists: {error}") from error
    except Forbidden as error:
        raise _forbidden(where, error) from error
    except (GoogleAPIError, OSError) as error:
        raise StoreError(f"cannot reach {where}: {error}") from error


def _forbidden(where: str, error: Exception) -> StoreError:
    return StoreError(
        f"no right to do that at {where}: {error};"
        " `aegan doctor --root ROOT` says which right is missing"
    )
