"""What is asked of a model, and what the answers look like in a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import aegan
from aegan.batch.arrow import pyarrow
from aegan.model import Model

Array = np.ndarray[Any, Any]

MARK = "aegan."  # begins the names of marks in a Parquet file's metadata


@dataclass(frozen=True)
class Operation:
    """A question to a model.

    Attributes:
        name: of the model's method and of the command.
        plural: name of the array of answers in an .npz.
        column: name of the column, or beginning of the names of the columns, in a Parquet file.
        shape: of one answer.
        dtype: of answers.
    """

    name: str
    plural: str
    column: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def of(self, model: Model) -> Callable[[Array], Array]:
        """The model's own method, [B, *shape] to answers."""
        method: Callable[[Array], Array] = getattr(model, self.name)
        return method

    @property
    def row_bytes(self) -> int:
        """Of one answer."""
        return math.prod(self.shape) * self.dtype.itemsize


def operation(name: str, model: Model) -> Operation:
    """`encode`, `score` or `reconstruct`, as this model answers it."""
    float32 = np.dtype(np.float32)
    return {
        "encode": Operation("encode", "codes", "code", (model.latent_size,), float32),
        "score": Operation("score", "scores", "score", (), float32),
        "reconstruct": Operation(
            "reconstruct", "reconstructions", "reconstruction", model.shape, model.dtype
        ),
    }[name]


def marks_of(model: Model, **more: Any) -> dict[str, str]:
    """What a file says of where its contents come from: model, version, digest, and more."""
    marks = {
        "aegan_version": aegan.__version__,
        "model": model.name,
        "model_version": model.version,
        "model_digest": model.digest,
    }
    return marks | {name: str(value) for name, value in more.items() if value is not None}


def as_metadata(marks: Mapping[str, str]) -> dict[str, str]:
    """Marks as metadata of a Parquet file's schema."""
    return {MARK + name: value for name, value in marks.items()}


def from_metadata(schema: Any) -> dict[str, str]:
    """The marks in the metadata of a schema."""
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return {k.removeprefix(MARK): v for k, v in metadata.items() if k.startswith(MARK)}


def column_names(column: str, shape: tuple[int, ...], sources: Sequence[str] = ()) -> list[str]:
    """Names of the columns for answers of a shape.

    One number has a column; a row of numbers has one for each, counted from 0 or called by the columns
    that it is the reconstruction of; images and sequences are lists of numbers in one column.
    """
    if len(shape) != 1 and not (sources and len(sources) == math.prod(shape)):
        return [column]
    return [f"{column}_{name}" for name in sources or range(shape[0])]


def arrow_fields(names: Sequence[str], shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Any]:
    """Fields of the columns of these names."""
    pa = pyarrow()
    kind = pa.from_numpy_dtype(dtype)
    if len(names) == 1 and math.prod(shape) > 1:
        kind = pa.list_(kind, math.prod(shape))
    return [pa.field(name, kind) for name in names]


def arrow_columns(fields: Sequence[Any], answers: Array) -> list[Any]:
    """Answers [B, *shape] as columns of these fields."""
    pa = pyarrow()
    flat = np.ascontiguousarray(answers).reshape(len(answers), -1)
    if pa.types.is_fixed_size_list(fields[0].type):
        return [pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), type=fields[0].type)]
    return [pa.array(column) for column in np.ascontiguousarray(flat.T)]
