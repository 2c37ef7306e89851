"""Settings of training that are set and would do nothing: whoever set them expects something of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegan.config_training import Training


def idle(name: str, section: Training) -> Iterator[tuple[tuple[str, ...], str]]:
    """Of a section of the configuration: the settings' paths, and what is wrong with the first.

    Only what differs from its default counts; what has no neutral default, such as `noise_level`, cannot
    be told from what nobody set.
    """
    optimizer, kind = section.optimizer, getattr(section, "kind", "")
    rules = (
        (
            "momentum",
            optimizer in ("sgd", "rmsprop"),
            ("optimizer",),
            f"is of `sgd` and `rmsprop`, and `{optimizer}` does not know it; set it to 0",
        ),
        (
            "nesterov",
            optimizer == "sgd" and section.momentum > 0,
            ("optimizer", "momentum"),
            "needs `optimizer: sgd` and a `momentum` above 0",
        ),
        (
            "step_every",
            section.schedule == "step",
            ("schedule",),
            f"is of `schedule: step`, and this one is `{section.schedule}`; leave it out",
        ),
        (
            "ghost_statistics",
            section.batch == "full",
            ("batch",),
            "is of `batch: full`; a mini-batch has statistics of its own; leave it out",
        ),
        (
            "free_bits",
            kind == "variational",
            ("kind",),
            f"is of `kind: variational`, and this one is `{kind}`; leave it out",
        ),
    )
    for setting, serves, others, text in rules:
        if getattr(section, setting, None) and not serves:
            yield tuple(f"{name}.{setting}" for setting in (setting, *others)), text
    if optimizer == "lbfgs":
        for setting in ("clip", "weight_decay", "warmup_steps", "back_off"):
            if getattr(section, setting) not in ("none", 0):
                yield (
                    (f"{name}.{setting}", f"{name}.optimizer"),
                    "does nothing with `lbfgs`, which searches for the length of a step; leave it out,"
                    " or use `adam`",
                )
