"""A discriminator's logits as log ratios of densities, by examples that it has not been trained on.

Weight decay and dropout leave it too cautious, many steps on few examples too sure. Either way the draws
that it chooses are not distributed as the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

AT_ONCE = 1024
MOST = 10.0  # times its logits: more would only say that all examples were told apart


def scale_of(real: Array, fake: Array) -> float:
    """The factor with which logits tell real from fake best, by their likelihood.

    That of a logistic regression (Platt 1999), whose offset is left out: it changes no choice.

    Args:
        real: logits [N] of examples.
        fake: logits [M] of about as many samples.

    Returns:
        From 0, where they tell nothing, to `MOST`.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    logits = np.concatenate([real, fake]).astype(np.float64)
    # Targets a little below 1 and above 0: else logits that separate all would get no finite factor.
    target = np.concatenate(
        [
            np.full(len(real), (len(real) + 1) / (len(real) + 2)),
            np.full(len(fake), 1 / (len(fake) + 2)),
        ]
    )

    def loss(parameters: Array) -> tuple[float, Array]:
        scale, offset = parameters
        rated = scale * logits + offset
        wrong = (expit(rated) - target) / len(logits)
        return float(np.mean(np.logaddexp(0, rated) - target * rated)), np.array(
            [wrong @ logits, wrong.sum()]
        )

    bounds = [(0.0, MOST), (None, None)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0])


def calibrated(
    discriminator: Any, generate: Callable[[int, int, Any], Any], real: Any, classes: Array | None
) -> tuple[Any, float]:
    """The discriminator with its logits times what fits best, and that factor.

    Args:
        discriminator: keras.Model, see `aegan.networks.discriminator`.
        generate: number, position and classes of samples to samples [number, ...].
        real: examples [N, ...], or codes; none that were trained on.
        classes: of them, one-hot rows [N, C]; None for a discriminator that knows none.
    """
    import keras

    def rate(examples: Any, its_classes: Any) -> Array:
        given = examples if its_classes is None else [examples, its_classes]
        return np.asarray(discriminator(given))[:, 0]

    rated: tuple[list[Array], list[Array]] = ([], [])
    for start in range(0, len(real), AT_ONCE):
        some = np.asarray(real[start : start + AT_ONCE])
        its_classes = None if classes is None else classes[start : start + AT_ONCE]
        rated[0].append(rate(some, its_classes))
        rated[1].append(rate(generate(len(some), start, its_classes), its_classes))
    scale = scale_of(*map(np.concatenate, rated))
    logit = keras.layers.Rescaling(scale, name="calibration")(discriminator.output)
    return keras.Model(discriminator.input, logit, name=discriminator.name), scale
