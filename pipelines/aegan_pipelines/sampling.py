"""Writing samples to files, marked as synthetic."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from aegan.errors import DataError
from aegan.local_store import LocalStore
from aegan.model import Model


def write_samples(
    model: Model, count: int, seed: int | None, output: Path, label: int | None = None
) -> None:
    """Draw and write a grid (.png, images only) or an array named `samples` (.npz).

    Either names the model's version and digest, so that samples can be told from real data.
    """
    is_png = output.suffix.lower() == ".png"
    if is_png and len(model.shape) != 3:
        raise DataError(
            f"{model.name} makes examples of shape {list(model.shape)}, not images;"
            " write them to a .npz file"
        )
    samples = model.sample(count, seed, label)
    mark = {"synthetic_by": f"{model.name} {model.version}", "model_digest": model.digest}
    mark |= {} if label is None else {"label": str(label)}
    buffer = io.BytesIO()
    if is_png:
        from PIL.PngImagePlugin import PngInfo

        from aegan.evaluation.figures import grid

        info = PngInfo()
        for key, value in mark.items():
            info.add_text(key, value)
        grid(samples).save(buffer, "PNG", pnginfo=info)
    else:
        arrays: Any = {key: np.array(value) for key, value in mark.items()}
        np.savez_compressed(buffer, samples=samples, **arrays)
    LocalStore(str(output.parent)).write(output.name, buffer.getvalue())
