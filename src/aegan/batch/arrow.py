"""pyarrow, where it is installed."""

from __future__ import annotations

from typing import Any

from aegan.errors import DependencyError


def pyarrow() -> Any:
    """The package, with what reads and writes CSV and Parquet."""
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise DependencyError(
            "CSV and Parquet files need pyarrow, which is not installed: pip install 'aegan[batch]';"
            " .npy and .npz do without"
        ) from None
    return pyarrow
