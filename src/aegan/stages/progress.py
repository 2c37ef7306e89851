"""What a stage says while it works, in a small file where whoever follows the run can read it.

    <root>/stages/<stage>/<key>/progress.json
        starts     when each attempt began; more than one within a run: a retry
        at         when the file was written
        progress   the newest progress of the training, with rate and time left
        lines      [at, event, text] of what was narrated lately

It lies beside the stage and not beside the run, because the training steps do not know their run: its id
would change the keys of Kubeflow's cache. The file is a courtesy: no failure to write it reaches the
stage, no training waits for it, and no results depend on it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from aegan.digests import to_json
from aegan.narration import heard_by, utc_now
from aegan.store import Store

PROGRESS = "progress.json"
INTERVAL_SECONDS = 15.0
MOST_STARTS, MOST_LINES = 20, 200
LAST_WRITE_SECONDS = 10.0


@contextlib.contextmanager
def progress_shown(store: Store, prefix: str) -> Iterator[None]:
    """Write what is narrated within the block, at its beginning, at most every 15 s, and at its end.

    Args:
        store: where everything lies.
        prefix: `stages/<stage>/<key>`.
    """
    page = _Page(store, f"{prefix}/{PROGRESS}")
    try:
        with heard_by(page.hear):
            yield
    finally:
        page.close()


class _Page:
    """The file in the making; a thread of its own writes it, so that a slow bucket holds up nothing."""

    def __init__(self, store: Store, name: str):
        self._store, self._name = store, name
        self._began, self._progress = utc_now(), ""
        self._lines: deque[list[str]] = deque(maxlen=MOST_LINES)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def hear(self, event: str, text: str) -> None:
        """Note one event; the newest progress replaces the one before it."""
        if event == "progress":
            self._progress = text
        else:
            self._lines.append([utc_now(), event, text])

    def close(self) -> None:
        """Write a last time, but wait for that no longer than some seconds."""
        self._over.set()
        self._thread.join(LAST_WRITE_SECONDS)

    def _work(self) -> None:
        starts = [*self._earlier_starts(), self._began][-MOST_STARTS:]
        over, written = False, None
        while not over:
            over = self._over.is_set()  # asked first: the last writing sees the last line
            content = {"starts": starts, "progress": self._progress, "lines": list(self._lines)}
            if content != written:
                # The next one comes soon enough, and training must not end for want of it.
                with contextlib.suppress(Exception):
                    self._store.write(self._name, to_json(content | {"at": utc_now()}))
                    written = content
            if not over:
                self._over.wait(INTERVAL_SECONDS)

    def _earlier_starts(self) -> list[str]:
        with contextlib.suppress(Exception):
            tree: Any = json.loads(self._store.read(self._name) or b"{}")
            return [str(start) for start in tree["starts"]]
        return []
