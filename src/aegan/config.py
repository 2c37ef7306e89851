"""What a run is: one strict, typed tree read from one YAML file.

Fields are documented where they stand, here and in the modules of the sections: docs/configuration.md
and the JSON Schema for editors are made from that.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from aegan.config_compute import Compute
from aegan.config_training import Autoencoder, Gan
from aegan.config_types import Fraction, PositiveInt, Section
from aegan.contradictions import contradictions
from aegan.references import DNS_LABEL_PATTERN, NAME_PATTERN

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
    """Share of the examples that are kept to judge a training by while it goes on."""
    test_fraction: Fraction = 0.1
    """Share of the examples that the final scores are taken on; ignored where the source has a test set
    of its own."""
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
    """The metric may be this and less."""
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The metric may be this and more."""

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
    """That a new version takes over: `aegan.load("…/models/NAME@champion")` then finds it."""
    sign: str = ""
    """Path of a private key (PEM, elliptic curve, no password) that a new version is signed with before
    the alias moves to it; where the step `publish` runs, there mounted as a secret. Needs
    `aegan[signing]` there, which the images have."""


class Config(Section):
    """A whole run."""

    name: Annotated[str, Field(pattern=DNS_LABEL_PATTERN)]
    """Under which the model is published, and after which the pipeline is named."""
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

        `compute` is left out by default: where a model was trained does not change it. Neither do how
        often a training is saved and where its examples lie, which are always left out.
        """
        neutral = {"checkpoint_seconds", "residency"}
        tree = self.model_dump(mode="json", exclude={"autoencoder": neutral, "gan": neutral})
        chosen = sections or tuple(key for key in tree if key != "compute")
        text = json.dumps({key: tree[key] for key in chosen}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
