"""Writing samples to files that say that they are synthetic, and of which model.

The marks are text chunks of a PNG, arrays of one text in an .npz, and metadata `aegan.…` of a Parquet
file's schema: synthetic (true), model, model_version, model_digest, seed, label, aegan_version.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aegan.batch.results import arrow_columns, arrow_fields, as_metadata, column_names, marks_of
from aegan.errors import DataError
from aegan.local_store import LocalStore
from aegan.model import Model
from aegan.transfers import check_local, scratch_in, writable

Array = np.ndarray[Any, Any]


def check_output(output: Path) -> None:
    """Refuse, before a model is loaded, what cannot be written."""
    check_local(output)
    if output.suffix == "" and output.exists():
        raise DataError(
            f"{output} exists already: expected the name of a new folder for the images"
        )
    if output.suffix.lower() == ".parquet":
        from aegan.batch.arrow import pyarrow

        pyarrow()


def write_samples(
    model: Model, count: int, seed: int | None, output: Path, label: int | None = None
) -> None:
    """Draw and write samples.

    Args:
        model: to draw from.
        count: how many.
        seed: of the draw; None: a new one, which is written down.
        output: .png (a grid of images), .npz (an array `samples`), .parquet, or a folder that gets a PNG
            in raw units for each image.
        label: of all samples, where the model knows classes.
    """
    suffix = output.suffix.lower()
    if suffix in ("", ".png") and len(model.shape) != 3:
        raise DataError(
            f"{model.name} makes examples of shape {list(model.shape)}, not images;"
            " write them to a .npz or .parquet file"
        )
    if suffix == "":
        _check_fits_png(model)
    seed = secrets.randbelow(2**31) if seed is None else seed
    samples = model.sample(count, seed, label)
    marks = marks_of(model, synthetic="true", seed=seed, label=label)
    if suffix == "":
        _write_images(output, samples, marks)
        return
    content = {".png": _grid, ".npz": _npz, ".parquet": _parquet}[suffix](samples, marks)
    LocalStore(str(output.parent)).write(output.name, content)


def _grid(samples: Array, marks: Mapping[str, str]) -> bytes:
    from aegan.evaluation.figures import grid

    return _png(grid(samples), marks)


def _png(image: Any, marks: Mapping[str, str]) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in marks.items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _npz(samples: Array, marks: Mapping[str, str]) -> bytes:
    arrays: Any = {key: np.array(value) for key, value in marks.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, samples=samples, **arrays)
    return buffer.getvalue()


def _parquet(samples: Array, marks: Mapping[str, str]) -> bytes:
    from aegan.batch.arrow import pyarrow

    pa = pyarrow()
    shape = samples.shape[1:]
    fields = arrow_fields(column_names("sample", shape), shape, samples.dtype)
    schema = pa.schema(fields, metadata=as_metadata(marks))
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table(arrow_columns(fields, samples), schema=schema), buffer)
    return buffer.getvalue()


def _check_fits_png(model: Model) -> None:
    """A PNG holds 1 to 4 channels of 8 bits, or one of 16."""
    channels = model.shape[-1]
    if channels > {"uint8": 4, "uint16": 1}.get(model.dtype.name, 0):
        raise DataError(
            f"{model.name} makes images of {channels} channels of {model.dtype}, which PNG files"
            " cannot hold as they are; write them to a .npz or .parquet file, or a grid to a .png"
        )


def _write_images(folder: Path, samples: Array, marks: Mapping[str, str]) -> None:
    """A PNG for each image, in raw units; the folder is there when all of them are."""
    from PIL import Image

    digits = len(str(len(samples) - 1))
    with writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch_in(folder.parent) as scratch:
            images = scratch / "images"
            images.mkdir()
            for number, image in enumerate(samples):
                picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
                path = images / f"sample-{number:0{digits}d}.png"
                path.write_bytes(_png(picture, {**marks, "sample": str(number)}))
            os.rename(images, folder)  # which refuses to replace a folder that holds something
