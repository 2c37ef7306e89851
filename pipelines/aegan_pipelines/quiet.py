"""Keeping TensorFlow's start-up messages off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TextIO

from aegan.errors import AeganError


@contextlib.contextmanager
def quiet_stderr() -> Iterator[TextIO]:
    """Hold back what is written to the process's stderr, also by native code; show it on a surprise.

    Yields the true stderr, for what must be seen meanwhile. TensorFlow logs about oneDNN and missing
    GPUs before any of its settings can silence it.
    """
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held, open(original, "w", buffering=1) as stderr:
        os.dup2(held.fileno(), 2)
        surprise = False
        try:
            yield stderr
        except AeganError:
            raise
        except BaseException:
            surprise = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            if surprise:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
