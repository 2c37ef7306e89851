"""The space that a GAN is trained in, the same for each attempt at one training.

    <root>/checkpoints/<run key>/train_gan/latent_space.npz

A whitening and a mixture that are fitted anew, on another number of cores or another GPU, differ in
their last bits, and axes may come in another order or with another sign: weights that were trained in
one space are worth nothing in the other. So the first attempt keeps what it fitted beside its
checkpoints, and each of these names the space that it belongs to.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from aegan.errors import PreconditionError, StoreError
from aegan.latent import Mixture, Whitening
from aegan.narration import narrate

Array = np.ndarray[Any, Any]
Space = tuple[Whitening, Mixture]

NAME = "latent_space.npz"
ATTEMPTS = 5


def kept_space(checkpoints: Any, weights: list[Array], fit: Callable[[], Space]) -> Space:
    """What an earlier attempt fitted, else what `fit` does; the checkpoints are bound to it.

    What is damaged, or of another autoencoder, is fitted anew. Then only those checkpoints are gone on
    from that belong to the very same bits.

    Args:
        checkpoints: `aegan.checkpoints.Checkpoints` of the stage, not restored yet.
        weights: of the encoder.
        fit: to the codes of that encoder.

    Raises:
        StoreError: what is there cannot be read.
    """
    encoder = hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest()
    space = _agreed(checkpoints, encoder, fit)
    arrays = [array.tobytes() for record in space for array in vars(record).values()]
    checkpoints.origin = hashlib.sha256(b"".join([encoder.encode(), *arrays])).hexdigest()
    return space


def _agreed(checkpoints: Any, encoder: str, fit: Callable[[], Space]) -> Space:
    store, name = checkpoints.store, f"{checkpoints.prefix}/{NAME}"
    space = None
    for _ in range(ATTEMPTS):
        content, generation = store.read_versioned(name)
        if content is not None:
            try:
                return _decoded(content, encoder)
            except Exception as error:  # whatever a damaged or foreign file makes its reader raise
                text = f"passed over the whitening and mixture that were kept: {error}"
                narrate("train_gan", "warning", text)
        space = space or fit()
        try:
            store.write(name, _encoded(space, encoder), if_generation=generation)
            return space
        except PreconditionError:  # another attempt at the same training was faster: use its space
            continue
        except StoreError as error:
            text = f"whitening and mixture could not be kept, training goes on: {error}"
            narrate("train_gan", "warning", text)
            return space
    return space or fit()


def _encoded(space: Space, encoder: str) -> bytes:
    arrays = {
        f"{type(record).__name__}.{name}": array
        for record in space
        for name, array in vars(record).items()
    }
    buffer = io.BytesIO()
    np.savez(buffer, encoder=np.array(encoder), **arrays)
    return buffer.getvalue()


def _decoded(content: bytes, encoder: str) -> Space:
    with np.load(io.BytesIO(content)) as arrays:
        if str(arrays["encoder"]) != encoder:
            raise ValueError("they are of another autoencoder")

        def record(kind: type[Any]) -> Any:
            return kind(*(arrays[f"{kind.__name__}.{field.name}"] for field in fields(kind)))

        return record(Whitening), record(Mixture)
