"""Starting TensorFlow in up to a third less time."""

from __future__ import annotations

import sys

OFFERED_BY_KERAS = ("matplotlib", "sklearn")


def import_keras() -> None:
    """Import TensorFlow and Keras, and nothing that Keras would import only to offer it on.

    Wherever they are installed, Keras imports matplotlib's pyplot for a gallery of images and
    scikit-learn for its wrappers: a third of the time that it takes to import, for what no step calls
    (some import scikit-learn later, for work of their own). While Keras is imported they look as if
    they were not installed; afterwards they can be imported as ever, and that gallery and these
    wrappers stay out of use in this process. So this is for a step's own process; where Keras has been
    imported already, it changes nothing.
    """
    hidden = [name for name in OFFERED_BY_KERAS if name not in sys.modules]
    # An entry of None is how Python is told that a module cannot be imported.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
