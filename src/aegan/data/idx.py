"""IDX files, the format of MNIST and its kin (http://yann.lecun.com/exdb/mnist, bottom)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from aegan.errors import DataError

Array = np.ndarray[Any, Any]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> Array:
    """Read one file, plain or gzip.

    Raises:
        DataError: it is no IDX file, or it is damaged; says how.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(
            f"{path}: not an IDX file: expected it to begin with two zero bytes and a type code,"
            f" received {content[:4].hex(' ') or 'nothing'}"
        )
    dtype, rank = np.dtype(IDX_TYPES[content[2]]), content[3]
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(f"{path}: truncated IDX header; fetch the file again")
    shape = struct.unpack(f">{rank}I", content[4:header])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - header != expected:
        raise DataError(
            f"{path}: truncated or padded IDX file: its header announces {list(shape)}"
            f" = {expected} bytes, received {len(content) - header}; fetch it again"
        )
    array = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
