"""Taking turns: of several that want to do the same thing, one does it and the others find it done.

Two that run one stage at the same time do no harm: each writes outputs of its own and the record names
one of them, whole. But both do the work. In a sweep that would be the rule, since trials that share an
autoencoder start together, so its steps take turns at what they share.

A turn is an object that is created by one and held by writing to it again and again. Whoever waits
takes it over when it stands unchanged for long, by its own clock: its holder was killed. Should the
holder be only slow, both work, as without turns.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator

from aegan.digests import to_json
from aegan.errors import PreconditionError, StoreError
from aegan.store import Store

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
POLL_SECONDS = 1.0


@contextlib.contextmanager
def turn(
    store: Store,
    name: str,
    *,
    worker: str = "",
    beat: float = BEAT_SECONDS,
    stale: float = STALE_SECONDS,
) -> Iterator[None]:
    """Hold a turn for the time of the block; waits for it first.

    Args:
        store: where it lies.
        name: of the object that stands for it.
        worker: who never works twice at once; what one of this name still holds is taken over at once.
        beat: seconds between two signs of life.
        stale: seconds without one after which the holder is taken for dead.

    Raises:
        StoreError: the store cannot be read or written.
    """
    holder = f"{worker}/{uuid.uuid4().hex}"
    _take(store, name, holder, worker, stale)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(store, name, holder, over, beat), daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        # Nothing is lost by a turn that stays: the next one waits a little longer.
        with contextlib.suppress(StoreError):
            if _holder(store.read(name)) == holder:
                store.delete(name)


def _take(store: Store, name: str, holder: str, worker: str, stale: float) -> None:
    seen, since = -1, time.monotonic()
    while True:
        content, generation = store.read_versioned(name)
        if generation != seen:
            seen, since = generation, time.monotonic()
        own = bool(worker) and _holder(content).startswith(f"{worker}/")
        if own or generation == 0 or time.monotonic() - since > stale:
            try:
                store.write(name, _mark(holder), if_generation=generation)
                return
            except PreconditionError:  # another was faster
                continue
        time.sleep(min(POLL_SECONDS, stale / 4))


def _beat(store: Store, name: str, holder: str, over: threading.Event, beat: float) -> None:
    while not over.wait(beat):
        with contextlib.suppress(StoreError):  # the next sign of life may get through
            content, generation = store.read_versioned(name)
            if _holder(content) != holder:
                return  # taken over
            store.write(name, _mark(holder), if_generation=generation)


def _mark(holder: str) -> bytes:
    # Different each time: in a folder, the generation is made from the bytes.
    return to_json({"holder": holder, "mark": uuid.uuid4().hex})


def _holder(content: bytes | None) -> str:
    return str(json.loads(content)["holder"]) if content else ""
