"""What a run is: one strict, typed tree read from one YAML file.

Every field is documented here and nowhere else: the JSON Schema for editors is made from this file.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from aegan.config_training import Autoencoder, Gan
from aegan.config_types import Fraction, PositiveInt, Section
from aegan.contradictions import contradictions
from aegan.references import NAME_PATTERN

CPU_PATTERN = r"^\d+(\.\d+)?m?$"
MEMORY_PATTERN = r"^\d+(\.\d+)?(Ki|Mi|Gi|K|M|G)?$"

MetricName = Literal[
    "reconstruction_mse",
    "reconstruction_mse_ratio_to_pca",
    "frechet_distance",
    "frechet_distance_ratio_to_gaussian",
    "precision",
    "recall",
    "density",
    "coverage",
]


class Data(Section):
    """Where the examples come from and how they are split."""

    source: str
    """`digits` (scikit-learn's), or a file or folder, local or `gs://`: IDX (or gzip), .npy, .npz."""
    format: Literal["auto", "idx", "npy", "npz"] = "auto"
    """`auto` tells by the name of the file."""
    kind: Literal["image", "tabular", "sequence"] = "image"
    """Shape of one example: image [H, W] or [H, W, C], tabular [D], sequence [T, C]."""
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.1
    """Ignored where the source has a test set of its own."""
    sha256: dict[str, str] = Field(default={})
    """Expected digest of each source file, by file name; files not named are not checked."""


class Normalize(Section):
    """How raw values become the numbers the networks see."""

    method: Literal["minmax", "standard"] = "minmax"
    """`minmax` scales to [0, 1], `standard` to mean 0 and deviation 1; fitted on the training split.

    One scale for an image, one per column of a table, one per channel of a sequence.
    """


class Bound(Section):
    """A threshold of the gate: the metric must not be above `max` nor below `min`."""

    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Bound:
        if self.max is None and self.min is None:
            raise ValueError("give `max`, `min` or both")
        return self


class Evaluation(Section):
    """What is measured and what a model must reach to be published."""

    samples: Annotated[int, Field(ge=50)] = 10_000
    """Most examples and samples that each generative score compares."""
    neighbours: PositiveInt = 5
    """k of precision, recall, density and coverage."""
    feature_steps: PositiveInt = 1500
    """Training steps of the classifier whose features the scores are computed in."""
    thresholds: dict[MetricName, Bound] = Field(default={})
    """The gate: a model that misses one of these is not published."""

    @field_validator("thresholds")
    @classmethod
    def _reachable(cls, thresholds: dict[MetricName, Bound]) -> dict[MetricName, Bound]:
        for name, bound in thresholds.items():
            most = 1.0 if name in ("precision", "recall", "coverage") else math.inf
            if (bound.max is not None and bound.max < 0) or (bound.min or 0.0) > most:
                raise ValueError(f"{name} lies between 0 and {most:g}: no model can reach this")
        return thresholds


class Publish(Section):
    """Under which name a model that passed the gate can be loaded."""

    alias: Annotated[str, Field(pattern=NAME_PATTERN)] = "champion"


class Compute(Section):
    """What each step gets on a cluster; a laptop ignores it."""

    image: str = "aegan/aegan-python:0.1.0"
    """By digest or immutable tag."""
    cpu: Annotated[str, Field(pattern=CPU_PATTERN)] = "2"
    memory: Annotated[str, Field(pattern=MEMORY_PATTERN)] = "8Gi"
    accelerator: str = "nvidia.com/gpu"
    """Kubernetes resource name of the accelerator of the two training stages."""
    accelerator_count: Annotated[int, Field(ge=0)] = 0
    retries: Annotated[int, Field(ge=0)] = 3

    @field_validator("image")
    @classmethod
    def _immutable(cls, image: str) -> str:
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            raise ValueError(
                f"{image!r} names no fixed version, and Kubeflow caches by this name;"
                " give it by digest (name@sha256:…) or by a tag that never moves (name:1.2.3)"
            )
        return image


class Config(Section):
    """A whole run."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Under which the model is published: lower-case letters, digits and hyphens."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the splits, the initial weights, the order of examples and all noise."""
    data: Data
    normalize: Normalize = Normalize()
    autoencoder: Autoencoder = Autoencoder()
    gan: Gan = Gan()
    evaluation: Evaluation = Evaluation()
    publish: Publish = Publish()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _possible(self, info: ValidationInfo) -> Config:
        found = list(contradictions(self))
        if info.context is not None:  # a list to be told in place of an error
            info.context.extend(found)
        elif found:
            raise ValueError("; ".join(map(str, found)))
        return self

    def to_json(self) -> str:
        """Canonical JSON: every field, sorted keys. What crosses from step to step."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self, *sections: str) -> str:
        """SHA-256 of the canonical JSON of some top-level fields (default: all that shape a model).

        `compute` is left out by default: where a model was trained does not change it.
        """
        tree = self.model_dump(mode="json")
        chosen = sections or tuple(key for key in tree if key != "compute")
        text = json.dumps({key: tree[key] for key in chosen}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
