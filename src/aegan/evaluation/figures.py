"""Pictures for the report and the command line: grids of examples, and curves."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def grid(images: Array, *, columns: int | None = None, width: int = 640) -> Image.Image:
    """Images [N, H, W, C] of any range as one picture; in colour if C is 3 or 4.

    Of images with another number of channels, the first is shown.

    Args:
        images: integers are scaled by their type's range if they use it, else by their own maximum;
            floats by their own range.
        columns: images in a row; default: a square.
        width: least width of the picture in pixels; reached by whole enlargements.
    """
    if images.shape[-1] not in (3, 4):
        images = images[..., :1]
    count, height, image_width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    pixels = _to_uint8(images)
    canvas = np.full(
        (rows * (height + 1) - 1, columns * (image_width + 1) - 1, channels), 255, np.uint8
    )
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + 1), (index % columns) * (image_width + 1)
        canvas[top : top + height, left : left + image_width] = image
    picture = Image.fromarray(canvas[..., 0] if channels == 1 else canvas)
    scale = max(1, round(width / picture.width))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def curves(histories: dict[str, Sequence[dict[str, float]]]) -> bytes:
    """Losses over steps, one panel a stage: PNG."""
    figure, axes = _figure(1, len(histories), (5.2 * len(histories), 3.2))
    for panel, (title, history) in zip(axes[0], histories.items(), strict=True):
        steps = [record["step"] for record in history]
        for name in sorted(set(history[0]) - {"step", "seconds"}):
            panel.plot(steps, [record[name] for record in history], label=name.replace("_", " "))
        if min(min(r["loss"] for r in history), 1) > 0 and title == "autoencoder":
            panel.set_yscale("log")
        panel.set_title(title)
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return _png(figure)


def series(examples: Array, titles: Sequence[str] | None = None, *, columns: int = 4) -> bytes:
    """Sequences [N, T, C] or rows [N, D] as small line plots: PNG."""
    count = len(examples)
    rows = math.ceil(count / columns)
    figure, axes = _figure(rows, columns, (2.6 * columns, 1.5 * rows))
    for index, panel in enumerate(axes.flat):
        panel.tick_params(labelsize=6)
        if index < count:
            panel.plot(examples[index], linewidth=1)
            if titles is not None:
                panel.set_title(titles[index], fontsize=7)
        else:
            panel.axis("off")
    return _png(figure)


def grid_png(images: Array, *, columns: int | None = None) -> bytes:
    """`grid` as PNG."""
    buffer = io.BytesIO()
    grid(images, columns=columns).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG as the source of an <img>, so that a page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _to_uint8(images: Array) -> Array:
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind in "ui":
        low = min(0.0, low)
        high = 255.0 if images.dtype == np.uint8 and high > 127 else max(high, 1.0)
    scaled = (images.astype(np.float64) - low) / max(high - low, 1e-12)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
