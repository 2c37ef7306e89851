"""Steps by the exact gradient over the whole training set, the same bits for any number of devices.

The training set is cut once into micro-batches of one size and a smaller last one, and these into runs
that lie side by side, the *lanes*. Each micro-batch gives the sums of its samples' gradients and losses.
A lane adds up those of its micro-batches in their order, in float64, the last lane also that of the
smaller one; a step adds up its lanes in their order and divides once by the number of samples. Devices
share the work by lanes, so how many there are does not change the order of any addition.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import tensorflow as tf

from aegan import replicas
from aegan.phases import Phase
from aegan.plans import Plan
from aegan.programs import Learner
from aegan.streaming import Ahead, Examples, as_constant, lent, num_rows, on_device, take

Tensor = Any

LANES = 8  # at least, where there are as many micro-batches
LONGEST_LANE = 8  # micro-batches
MOST_UNITS = 4096  # in one call


class FullBatch:
    """A `Program` of full batches; a unit of work is a lane of one of the learner's phases.

    Attributes:
        units: of work in a step: its phases times the lanes.
        samples: in a step.
        names: of the metrics, in the order of their totals.
        most_units: in one call.
    """

    def __init__(self, learner: Learner, examples: Examples, plan: Plan, *, streamed: bool):
        """Trace the gradients, and put the examples on the devices unless they are streamed."""
        self._examples = examples
        self.samples = self._rows = num_rows(examples)
        self._size = min(plan.micro_batch_size, self._rows)
        self._parts, self._rest = divmod(self._rows, self._size)
        self._length = max(1, min(LONGEST_LANE, self._parts // LANES))
        self._lanes = -(-self._parts // self._length)
        self.units = learner.phases * self._lanes
        self._devices, self._strategy = replicas.count(), tf.distribute.get_strategy()
        self._phases = [
            Phase(learner, number, examples, self._size, plan.xla)
            for number in range(learner.phases)
        ]
        counts = Counter(name for phase in self._phases for name in phase.names)
        self.names, self._shares = sorted(counts), {name: 1 / n for name, n in counts.items()}
        self.most_units = self._devices if streamed else MOST_UNITS
        self._ahead = Ahead(self._read)
        self._data = None if streamed else self._on_devices()
        self._run = tf.function(self._units, jit_compile=plan.xla, autograph=False)
        self._add = tf.function(self._added, autograph=False)
        self._finish = tf.function(self._finished, autograph=False)

    def run(self, first: int, count: int, totals: list[float]) -> tuple[int, list[float]]:
        """See `Program`."""
        bad, end = -1, first + count
        while first < end and bad < 0:
            data, offset, until = self._data, 0, end
            if data is None:  # at most to the end of the training set
                until = min(end, first - first % self._lanes + self._lanes)
                data, offset = self._ahead.get(first, until - first), self._start(first)
            call = self._alone if self._devices == 1 else self._shared
            bad, totals = call((*data, tf.constant(offset)), first, until, totals)
            first = until
        return bad, totals

    def state(self) -> list[Any]:
        """The sums of a step in flight."""
        return [variable for phase in self._phases for variable in phase.sums]

    def _start(self, unit: int) -> int:
        """The first micro-batch of a unit of work."""
        return unit % self._lanes * self._length

    def _read(self, first: int, count: int) -> Any:
        """The examples of the lanes of one call."""
        start, whole = self._start(first), self._parts * self._size
        stop = min((start + count * self._length) * self._size, whole)
        return self._rows_at(start * self._size, stop), self._rows_at(whole, self._rows)

    def _rows_at(self, start: int, stop: int) -> Any:
        rows = np.arange(start, stop)

        def read(array: Any) -> Tensor:
            contents = lent((len(rows), *array.shape[1:]), array.dtype)
            take(array, rows, contents)
            return on_device(contents)

        return tf.nest.map_structure(read, self._examples)

    def _on_devices(self) -> Any:
        def constants(_: Any) -> Any:
            whole = tf.nest.map_structure(as_constant, self._examples)
            return whole, tf.nest.map_structure(lambda a: a[self._parts * self._size :], whole)

        if self._devices == 1:
            return constants(None)
        return self._strategy.experimental_distribute_values_from_function(constants)

    def _alone(self, source: Any, first: int, end: int, totals: list[float]) -> Any:
        """Units of work of one device: in one program."""
        sums = [tf.constant(total, tf.float64) for total in totals]
        limits = tf.constant(first, tf.int64), tf.constant(end, tf.int64)
        bad, sums = self._run(source, *limits, sums)
        return int(bad), [float(s) for s in sums]

    def _units(self, source: Any, first: Tensor, end: Tensor, totals: list[Tensor]) -> Any:
        """Do units of work.

        Args:
            source: examples, the smaller last micro-batch, and at which micro-batch the examples begin.
            first: unit, int64.
            end: unit that is left, int64.
            totals: of the metrics so far.
        """

        def body(position: Tensor, bad: Tensor, totals: Any, flight: Any) -> Any:
            step = tf.cast(position // self.units, tf.int32)
            lane = tf.cast(position % self._lanes, tf.int32)
            number = tf.cast(position % self.units // self._lanes, tf.int32)

            def advance(phase: Phase) -> Any:
                return self._advanced(phase, source, step, lane, totals, flight)

            branches = [lambda phase=phase: advance(phase) for phase in self._phases]
            found = branches[0]() if len(branches) == 1 else tf.switch_case(number, branches)
            met, totals, flight = found
            return position + 1, tf.where((bad < 0) & met, step, bad), totals, flight

        flight = [[variable.value() for variable in phase.sums] for phase in self._phases]
        start = (first, tf.constant(-1), totals, flight)
        _, bad, totals, flight = tf.while_loop(lambda position, *_: position < end, body, start)
        for phase, sums in zip(self._phases, flight, strict=True):
            phase.keep(sums)
        return bad, totals

    def _advanced(
        self,
        phase: Phase,
        source: Any,
        step: Tensor,
        lane: Tensor,
        totals: list[Tensor],
        flight: Any,
    ) -> Any:
        """Add a lane to the sums of a phase; if it was the last, descend."""
        found = self._lane(phase, source, step, lane, tf.constant(1))
        sums = [s + x for s, x in zip(flight[phase.number], found, strict=True)]
        values, sums = tf.cond(
            tf.equal(lane + 1, self._lanes),
            lambda: (phase.descend(sums, self._rows), [tf.zeros_like(s) for s in sums]),
            lambda: ([tf.zeros((), tf.float64) for _ in phase.names], sums),
        )
        flight = [sums if number == phase.number else other for number, other in enumerate(flight)]
        bad = ~tf.math.is_finite(tf.add_n(values))
        return bad, self._with(totals, phase, values), flight

    def _shared(self, source: Any, first: int, end: int, totals: list[float]) -> Any:
        """Units of work of several devices: as many lanes at a time, then their sum in order."""
        while first < end:
            step, within = divmod(first, self.units)
            number, lane = divmod(within, self._lanes)
            width = min(self._devices, self._lanes - lane, end - first)
            self._add(number, source, tf.constant(step), tf.constant(lane), tf.constant(width))
            if lane + width == self._lanes:
                values = [float(value) for value in self._finish(number)]
                totals = self._with(totals, self._phases[number], values)
                if not all(map(math.isfinite, values)):
                    return step, totals
            first += width
        return -1, totals

    def _added(self, number: int, source: Any, step: Tensor, lane: Tensor, width: Tensor) -> None:
        phase = self._phases[number]
        found = self._strategy.run(self._lane, args=(phase, source, step, lane, width))
        sums = [variable.value() for variable in phase.sums]
        for device in range(self._devices):  # in order; a device without a lane adds zeros
            added = [self._strategy.experimental_local_results(x)[device] for x in found]
            sums = [s + x for s, x in zip(sums, added, strict=True)]
        phase.keep(sums)

    def _finished(self, number: int) -> list[Tensor]:
        phase = self._phases[number]
        sums = [variable.value() for variable in phase.sums]
        phase.keep([tf.zeros_like(s) for s in sums])
        return phase.descend(sums, self._rows)

    def _with(self, totals: list[Any], phase: Phase, values: list[Any]) -> list[Any]:
        """Totals with the metrics of a phase added; a metric of several phases is their mean."""
        named = dict(zip(phase.names, values, strict=True))
        return [
            total + named[name] * self._shares[name] if name in named else total
            for name, total in zip(self.names, totals, strict=True)
        ]

    def _lane(
        self, phase: Phase, source: Any, step: Tensor, lane: Tensor, width: Tensor
    ) -> list[Tensor]:
        """On one device: the sums of its lane, or zeros if there is none for it."""
        data, last, offset = source
        mine = replicas.number()
        start = (lane + mine) * self._length
        stop = tf.where(mine < width, tf.minimum(start + self._length, self._parts), start)

        # Counted from the first that is there: XLA compiles anew for each beginning of a slice that is
        # worked out from an argument, unless the loop counts it.
        def body(place: Tensor, sums: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            batch = tf.nest.map_structure(
                lambda a: tf.slice(
                    a,
                    [place * self._size] + [0] * (len(a.shape) - 1),
                    [self._size, *a.shape[1:]],
                ),
                data,
            )
            return place + 1, phase.added(sums, phase.gradients(batch, step, place + offset))

        zeros = [tf.zeros(variable.shape, tf.float64) for variable in phase.sums]
        begun = (start - offset, zeros)
        place, sums = tf.while_loop(lambda place, _: place < stop - offset, body, begun)
        if not self._rest:
            return list(sums)
        part = place + offset

        def body_of_rest(part: Tensor, sums: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            return part + 1, phase.added(sums, phase.gradients(last, step, part))

        is_last = (mine < width) & tf.equal(part, self._parts)
        end = tf.where(is_last, self._parts + 1, 0)
        return list(tf.while_loop(lambda part, _: part < end, body_of_rest, (part, sums))[1])
