"""Autoencoders and GANs trained on your data, published as models that others can trust.

import aegan
model = aegan.load("gs://bucket/models/fashion@champion")
images = model.sample(100, seed=7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["AeganError", "Model", "Registry", "__version__", "load"]

if TYPE_CHECKING:
    from aegan.errors import AeganError
    from aegan.model import Model, load
    from aegan.registry import Registry

_HOMES = {
    "AeganError": "aegan.errors",
    "Model": "aegan.model",
    "Registry": "aegan.registry",
    "load": "aegan.model",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import aegan` itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'aegan' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
