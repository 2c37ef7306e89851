"""Images of a folder, in the order of their names."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aegan.batch.source import IMAGES, Array, Block, digest_of
from aegan.errors import DataError
from aegan.store import is_text

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's names of images of so many channels of 8 bits."""
DEEP_MODES = ("I;16", "I;16B", "I;16L")  # of one channel of 16 bits


class ImageFolder:
    """PNG and JPEG files below a folder, each a row; what has another ending is left alone."""

    names: Sequence[str] = ()
    schema: Any = None

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]):
        """Find the files; see `open_source`."""
        if len(shape) != 3 or dtype.kind not in "ui" or shape[-1] not in MODES:
            raise DataError(
                f"{path}: image files hold whole numbers [H, W, C] and this model takes"
                f" {list(shape)} {dtype}; give an .npy file in its units"
            )
        self.path, self._shape, self._dtype = path, shape, dtype
        self.files: Sequence[str] = [p.relative_to(path).as_posix() for p in _images(path)]
        if strange := [name for name in self.files if not is_text(name)]:
            raise DataError(
                f"{path}: {strange[0]!r} is not a name in UTF-8: expected names that can be written into"
                " the output; rename the file"
            )
        if not self.files:
            raise DataError(
                f"{path}: no images there: expected files ending in {', '.join(IMAGES)}"
            )
        self.rows = len(self.files)
        self.row_bytes = math.prod(shape) * dtype.itemsize

    def digest(self) -> str:
        """SHA-256 of the names and digests of all images."""
        lines = (f"{digest_of(self.path / name)}  {name}\n" for name in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def blocks(self, first: int, sizes: Iterable[int]) -> Iterator[Block]:
        """See `Source`."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for size in sizes:
                examples = np.stack(list(pool.map(self._read, range(first, first + size))))
                yield Block(first, examples)
                first += size

    def _read(self, row: int) -> Array:
        """[H, W, C] of the model's type."""
        path = self.path / self.files[row]
        height, width, channels = self._shape
        try:
            with Image.open(path) as image:
                # Asked before it is decoded: a small file can be a huge image.
                if image.size != (width, height):
                    raise DataError(
                        f"{path} (row {row}): {image.width} x {image.height} pixels, this model takes"
                        f" {width} x {height}; resize it as the training data was"
                    )
                pixels = self._pixels(path, row, image)
        except DataError:
            raise
        except Exception as error:  # Pillow raises a dozen types at damaged files
            raise DataError(
                f"{path} (row {row}): not a readable image ({error}); replace or remove it"
            ) from None
        return pixels.reshape(height, width, channels)

    def _pixels(self, path: Path, row: int, image: Image.Image) -> Array:
        channels = self._shape[-1]
        expected = MODES[channels]
        if image.mode == "P":  # a palette is a way to store colours, not a kind of image
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        fits = image.mode == expected or (channels == 1 and image.mode in DEEP_MODES)
        pixels = np.asarray(image)
        if not fits or pixels.max(initial=0) > np.iinfo(self._dtype).max:
            raise DataError(
                f"{path} (row {row}): an image of the mode {image.mode}, this model takes {channels}"
                f" channels of {self._dtype} ({expected}); convert it as the training data was"
            )
        return pixels.astype(self._dtype)


def _images(folder: Path) -> list[Path]:
    """All of a folder and its subfolders, sorted; one that cannot be listed is no empty one."""

    def refuse(error: OSError) -> None:
        raise error

    files = (Path(place, n) for place, _, names in os.walk(folder, onerror=refuse) for n in names)
    return sorted(path for path in files if path.suffix.lower() in IMAGES and path.is_file())
