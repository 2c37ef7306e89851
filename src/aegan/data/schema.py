"""The number of the format of datasets, and of the versions that are published from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aegan
from aegan.errors import RegistryError

SCHEMA_VERSION = 1
"""Stands in `dataset.json` as `schema_version`. It grows when an older aegan could not load what is
published; a newer aegan loads all the older ones (tests/data/versions)."""


def check_readable(description: Mapping[str, Any], what: str) -> None:
    """Refuse a version of a newer format.

    Args:
        description: `preprocess/dataset.json` of the version.
        what: it is called.

    Raises:
        RegistryError: this aegan is too old for it.
    """
    found = description["schema_version"]
    if found > SCHEMA_VERSION:
        raise RegistryError(
            f"{what} has the format {found}, and aegan {aegan.__version__} reads formats up to"
            f" {SCHEMA_VERSION}; install a newer aegan"
        )
