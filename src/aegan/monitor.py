"""What a training shows while it runs: curves for TensorBoard, and previews.

    <root>/tensorboard/<run key>/<stage>/events.out.tfevents.<time>    scalars and previews
    <root>/previews/<run key>/<stage>/step-000001000.png

An event file is a file of records (TFRecord) of `Event` messages, so that writing one needs nothing but
TensorFlow. Each is written at once and never appended to: that is the same in a folder and in a
bucket, and TensorBoard reads on in the next one. Training goes on while they are written.
"""

from __future__ import annotations

import io
import math
import re
import shlex
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from aegan.data.normalizer import Normalizer
from aegan.evaluation import figures
from aegan.narration import narrate
from aegan.store import Store

Array = np.ndarray[Any, Any]
History = list[dict[str, float]]

FLUSH_SECONDS = 30.0


class Monitor:
    """Shows the training of one stage; changes nothing in it, and lets no failure reach it.

    Attributes:
        decode: what a learner previews to normalised examples; replaced where it learns codes.
    """

    def __init__(
        self, store: Store, place: str, normalizer: Normalizer, *, stage: str, preview_every: int
    ):
        """Take the places, and say how to look at them.

        Args:
            store: where everything lies.
            place: `<run key>/<stage>`, below `tensorboard/` and `previews/`.
            normalizer: of the dataset; undone in previews.
            stage: for messages.
            preview_every: steps from preview to preview, made at the first evaluation from there; 0
                for none.
        """
        self._store, self._normalizer = store, normalizer
        self._events_place, self._previews_place = f"tensorboard/{place}", f"previews/{place}"
        self._stage, self._every = stage, preview_every
        self.decode: Callable[[Array], Array] = lambda examples: examples
        self._events: list[Any] = []  # that have not been written, nor have these pictures by name
        self._pictures: dict[str, bytes] = {}
        self._pool = ThreadPoolExecutor(1, "monitor")
        self._writing: Future[None] | None = None
        self._last_step, self._last_attempt, self._warned = 0, -math.inf, False
        folder = shlex.quote(f"{store.uri}/{self._events_place}")
        narrate(stage, "info", f"tensorboard --logdir {folder}")

    def resume(self, history: History) -> None:
        """Replace what an earlier attempt showed by what is still true of it, before training."""
        self._guarded(lambda: self._replace(history))

    def record(self, record: dict[str, float], preview: Callable[[], Array | None]) -> None:
        """Show an evaluation: its step and metrics, and a preview if one is due.

        Args:
            record: of the history.
            preview: makes normalised examples [n, ...], or what `decode` makes them of.
        """
        self._guarded(lambda: self._show(record, preview))

    def finish(self) -> None:
        """Wait for what is being written."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def close(self) -> None:
        """Write what has not been written."""
        self.finish()
        self._guarded(self._write)
        self._pool.shutdown()

    def _guarded(self, show: Callable[[], None]) -> None:
        try:
            show()
        except Exception as error:  # A training of hours must not end for want of a picture.
            if not self._warned:
                text = f"what the training shows is incomplete: {error}"
                narrate(self._stage, "warning", text)
            self._warned = True

    def _replace(self, history: History) -> None:
        self._last_step = int(history[-1]["step"]) if history else 0
        self._store.delete(self._events_place)
        for record in history:
            self._add_scalars(record)
        for name in self._store.list(self._previews_place):
            found = re.search(r"step-(\d+)\.png$", name)
            if found is None or int(found[1]) > self._last_step:
                self._store.delete(name)
            else:
                self._add_image(self._store.read(name) or b"", int(found[1]))
        self._write()

    def _show(self, record: dict[str, float], preview: Callable[[], Array | None]) -> None:
        step, last = int(record["step"]), self._last_step
        self._last_step = step
        self._add_scalars(record)
        try:
            if self._every and step // self._every > last // self._every:
                self._preview(step, preview())
        finally:  # the scalars of a step whose preview failed are there all the same
            self._begin_to_write()

    def _preview(self, step: int, shown: Array | None) -> None:
        if shown is None:
            return
        examples = self._normalizer.invert(np.asarray(self.decode(shown), np.float32))
        picture, _ = figures.picture(examples)
        self._add_image(picture, step)
        self._pictures[f"{self._previews_place}/step-{step:09d}.png"] = picture

    def _add_scalars(self, record: dict[str, float]) -> None:
        values = [
            tf.compat.v1.Summary.Value(tag=name, simple_value=value)
            for name, value in record.items()
            if name != "step"
        ]
        self._add(int(record["step"]), values)

    def _add_image(self, png: bytes, step: int) -> None:
        with Image.open(io.BytesIO(png)) as picture:
            width, height = picture.size
        image = tf.compat.v1.Summary.Image(width=width, height=height, encoded_image_string=png)
        self._add(step, [tf.compat.v1.Summary.Value(tag="preview", image=image)])

    def _add(self, step: int, values: list[Any]) -> None:
        summary = tf.compat.v1.Summary(value=values)
        self._events.append(tf.compat.v1.Event(wall_time=time.time(), step=step, summary=summary))

    def _begin_to_write(self) -> None:
        """In the thread, unless it still writes or did lately: a bucket that is out holds up nothing."""
        if self._writing is not None and not self._writing.done():
            return
        if time.monotonic() - self._last_attempt >= FLUSH_SECONDS:
            self._writing = self._pool.submit(self._guarded, self._write)

    def _write(self) -> None:
        """Write previews and an event file; what could not be written, the next attempt writes."""
        pictures, events = list(self._pictures), list(self._events)
        if not pictures and not events:
            return
        try:
            for name in pictures:
                self._store.write(name, self._pictures[name])
                del self._pictures[name]
            if events:
                self._write_events(events)
                del self._events[: len(events)]
        finally:
            self._last_attempt = time.monotonic()

    def _write_events(self, events: list[Any]) -> None:
        version = tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2")
        with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
            path = Path(scratch, f"events.out.tfevents.{time.time_ns()}")
            with tf.io.TFRecordWriter(str(path)) as writer:
                for event in (version, *events):
                    writer.write(event.SerializeToString())
            self._store.write(f"{self._events_place}/{path.name}", path.read_bytes())
