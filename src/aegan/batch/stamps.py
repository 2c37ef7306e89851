"""Whether files are still what they were when their digest was taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aegan.batch.source import Source
from aegan.errors import DataError

Stamps = np.ndarray[Any, np.dtype[np.int64]]


def stamps(source: Source, rows: range | None = None) -> Stamps:
    """Of each file that holds these rows, or of all: size and both times of change in ns, [N, 3].

    The time of change of the inode cannot be set back, as that of the contents can. A file that is gone
    has a stamp like no other.
    """
    return np.array([_stamp(path) for path in _files(source, rows)], np.int64)


def check_same(source: Source, before: Stamps, rows: range) -> None:
    """Check that no file that holds these rows was changed.

    Args:
        source: whose rows were read.
        before: the stamps of all its files, taken before its digest.
        rows: that were read.

    Raises:
        DataError: one was; what was read may not be what the digest is of.
    """
    seen = before[rows.start : rows.stop] if source.files else before
    changed = (seen != stamps(source, rows)).any(axis=1)
    if changed.any():
        path = _files(source, rows)[int(np.argmax(changed))]
        raise DataError(
            f"{path} was changed while it was read; when nothing changes it any more, begin anew with"
            " --overwrite"
        )


def _files(source: Source, rows: range | None) -> list[Path]:
    if not source.files:
        return [source.path]
    names = source.files if rows is None else source.files[rows.start : rows.stop]
    return [source.path / name for name in names]


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1, -1
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
