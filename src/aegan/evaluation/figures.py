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

MOST_PICTURE_BYTES = 300_000  # Kubeflow's viewer takes pages up to a megabyte
MOST_VALUES = 2_000_000
ROW = 8  # pictures in a row

CURVES = {
    "loss": ("loss", "linear"),
    "gradient norm": ("gradient_norm", "log"),
    "learning rate": ("learning_rate", "linear"),
    "samples a second": ("samples_per_second", "linear"),
}
"""Panels of a training: how the names of their metrics end, and the scale."""


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
    """How trainings went, a row for each: losses, gradient norms, learning rates, throughput. PNG.

    Args:
        histories: records by title; see `aegan.training.train`.
    """
    figure, axes = _figure(len(histories), len(CURVES), (13.6, 2.5 * len(histories)))
    for row, (training, history) in zip(axes, histories.items(), strict=True):
        for panel, (title, (ending, scale)) in zip(row, CURVES.items(), strict=True):
            _draw_curves(panel, history, ending)
            panel.set_yscale(_scale_of(history) if title == "loss" else scale)
            if scale == "linear" and title != "loss":
                panel.set_ylim(bottom=0)
            panel.set_title(f"{training}: {title}", fontsize=9)
    return _png(figure)


def _draw_curves(panel: Any, history: Sequence[dict[str, float]], ending: str) -> None:
    """One line for each metric whose name ends so, called by the rest of its name."""
    names = [name for name in sorted(history[0]) if name.endswith(ending)]
    steps = [record["step"] for record in history]
    for name in names:
        values = [record[name] for record in history]
        label = name.removesuffix(ending).strip("_") or "training"
        panel.plot(steps, values, label=label, linewidth=1.2, marker="" if values[1:] else "o")
    panel.set_xlabel("step", fontsize=8)
    panel.tick_params(labelsize=8, which="both")
    panel.grid(alpha=0.3)
    if len(names) > 1:
        panel.legend(fontsize=7)


def _scale_of(history: Sequence[dict[str, float]]) -> str:
    """Logarithmic where the losses are positive and span more than a factor of ten."""
    losses = [v for record in history for name, v in record.items() if name.endswith("loss")]
    return "log" if min(losses) > 0 and max(losses) > 10 * min(losses) else "linear"


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
    grid(images, columns=columns).save(buffer, "PNG")
    return buffer.getvalue()


def picture(examples: Array) -> tuple[bytes, int]:
    """A PNG of a bounded size, and how many examples it shows: fewer rows, then fewer pixels."""
    if examples.ndim != 4:
        examples = examples[: 2 * ROW]
    while True:
        if examples.ndim != 4:
            png = series(examples)
        elif examples.size <= MOST_VALUES:
            png = grid_png(examples, columns=ROW)
        else:
            png = None  # not worth trying: compressing takes long
        if png is not None and len(png) <= MOST_PICTURE_BYTES:
            return png, len(examples)
        if len(examples) > ROW or examples.ndim != 4:
            examples = examples[: len(examples) // 2]
        else:
            examples = examples[:, ::2, ::2]


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
