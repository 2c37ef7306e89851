"""What all parts of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the configuration: immutable, with unknown keys and wrong types refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class Toleration(Section):
    """Lets pods onto nodes with a taint; the fields are those of Kubernetes."""

    key: str | None = None
    """None, with `operator: Exists`: every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint's value must be `value`, or may be any."""
    value: str | None = None
    """Of the taint, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """None: every effect."""
    seconds: Count | None = None
    """How long a pod stays after a taint `NoExecute` was added; None: for ever."""

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> Toleration:
        if self.key is None and self.operator != "Exists":
            raise ValueError(
                "without a `key` it tolerates every taint and needs `operator: Exists`"
            )
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("`operator: Exists` goes with every value; leave `value` out")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError(
                "`seconds` means something with `effect: NoExecute` only; leave it out"
            )
        return self
