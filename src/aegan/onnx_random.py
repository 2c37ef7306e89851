"""The random draws of TensorFlow's stateless functions, as ONNX graphs: the same seed, the same bits.

ONNX has no random numbers that follow from a seed. But what TensorFlow draws on a CPU is a plain
function of seed and position: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), its key and counter made from the seed by one more application of it. Integers and uniform
numbers agree bit for bit, normal ones up to the rounding of sine, cosine, logarithm and square root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aegan.latent import Mixture
from aegan.onnx_graph import Graph, Name

Array = np.ndarray[Any, Any]

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
SCRAMBLING_KEY = (0x3EC8F720, 0x02461E29)
LOW = np.int64(0xFFFFFFFF)
SMALLEST_UNIFORM = np.float32(1e-7)  # before its logarithm is taken


@dataclass(frozen=True)
class Seed:
    """A seed [2] int32 of TensorFlow.

    Attributes:
        first, second: the two's complement of each half, a word.
    """

    first: Name
    second: Name


def philox(graph: Graph, counter: list[Name], key: list[Name]) -> list[Name]:
    """Four words for each counter.

    Words are int64 from 0 to 2³² - 1: the type that all runtimes add and multiply.

    Args:
        graph: to append to.
        counter: four arrays of words, of one shape.
        key: two words.
    """

    def each(inner: Graph, _: Name, state: list[Name]) -> tuple[list[Name], list[Name]]:
        (c0, c1, c2, c3), keys = state[:4], state[4:]
        # Modulo 2⁶⁴, in two's complement: only the bits count.
        products = [
            inner("Mul", word, np.int64(m)) for word, m in zip((c0, c2), MULTIPLIERS, strict=True)
        ]
        low = [inner("BitwiseAnd", product, LOW) for product in products]
        high = [_shifted(inner, product, 32) for product in products]
        words = [
            inner("BitwiseXor", inner("BitwiseXor", high[1], c1), keys[0]),
            low[1],
            inner("BitwiseXor", inner("BitwiseXor", high[0], c3), keys[1]),
            low[0],
        ]
        following = [
            inner("BitwiseAnd", inner("Add", key, np.int64(step)), LOW)
            for key, step in zip(keys, KEY_STEPS, strict=True)
        ]
        return [*words, *following], []

    state = [(name, np.int64) for name in (*counter, *key)]
    return graph.repeat(np.int64(ROUNDS), each, state)[:4]


def words(graph: Graph, seed: Seed, groups: int) -> list[Name]:
    """What a seed gives: the words 0, 1, 2 and 3 of each group, [groups] each."""
    extended = []
    for half in (seed.first, seed.second):  # a negative int32 has all upper bits set as an int64
        negative = _shifted(graph, half, 31)
        extended += [half, graph("Mul", negative, LOW)]
    scrambling = [graph.constant(np.int64(word)) for word in SCRAMBLING_KEY]
    mixed = philox(graph, extended, scrambling)
    numbers = np.arange(groups)
    counter = [
        graph.constant(numbers),
        graph.constant(np.zeros_like(numbers)),
        *(graph("Add", word, np.zeros_like(numbers)) for word in mixed[2:]),
    ]
    return philox(graph, counter, mixed[:2])


def split(graph: Graph, seed: Seed) -> tuple[Seed, Seed]:
    """`tf.random.split(seed, 2)`."""
    w = [graph("Squeeze", word) for word in words(graph, seed, 1)]
    return Seed(w[0], w[1]), Seed(w[2], w[3])


def fold_in(graph: Graph, seed: Seed, number: int) -> Seed:
    """`tf.random.fold_in(seed, number)`."""
    first = graph("Squeeze", words(graph, seed, 1)[0])
    return Seed(first, graph.constant(np.int64(number)))


def uniform(graph: Graph, seed: Seed, shape: tuple[int, int], least: float = 0.0) -> Name:
    """`tf.random.stateless_uniform(shape, seed, least)`: float32 in [least, 1).

    The number of elements is a multiple of four.
    """
    drawn = [_unit(graph, word) for word in words(graph, seed, shape[0] * shape[1] // 4)]
    low = np.float32(least)
    return graph("Add", graph("Mul", _interleaved(graph, drawn, shape), np.float32(1) - low), low)


def normal(graph: Graph, seed: Seed, shape: tuple[int, int]) -> Name:
    """`tf.random.stateless_normal(shape, seed)`: float32 ~ N(0, 1), by Box and Muller (1958).

    The number of elements is a multiple of four.
    """
    drawn = [_unit(graph, word) for word in words(graph, seed, shape[0] * shape[1] // 4)]
    values = []
    for radial, angular in (drawn[:2], drawn[2:]):
        logarithm = graph("Log", graph("Max", radial, SMALLEST_UNIFORM))
        radius = graph("Sqrt", graph("Mul", logarithm, np.float32(-2)))
        turn = graph("Mul", graph.cast(angular, np.float64), np.float64(2 * np.pi))
        angle = graph.cast(turn, np.float32)
        values += [graph("Mul", graph(f, angle), radius) for f in ("Sin", "Cos")]
    return _interleaved(graph, values, shape)


def categories(graph: Graph, log_weights: Any, seed: Seed, shape: tuple[int, int]) -> Name:
    """`aegan.latent.draw_categories` of [K] or [size, K] log weights: [size] int64."""
    drawn = uniform(graph, seed, shape, 1e-9)
    gumbel = graph("Neg", graph("Log", graph("Neg", graph("Log", drawn))))
    return graph("ArgMax", graph("Add", gumbel, log_weights), axis=1, keepdims=0)


def classes(graph: Graph, frequencies: Array, seed: Seed, size: int) -> Name:
    """`aegan.latent.draw_classes`, as class numbers [size] int64."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(frequencies)
    shape = (size, len(frequencies))
    return categories(graph, log_weights, fold_in(graph, seed, 1), shape)


def noise(
    graph: Graph,
    mixture: Mixture | None,
    noise_size: int,
    size: int,
    seed: Seed,
    of_classes: Name | None = None,
) -> list[Name]:
    """`aegan.latent.draw_noise` without the classes: the draw from the mixture, if any, and noise.

    Args:
        graph: to append to.
        mixture: what the noise starts from, or None for normal noise alone.
        noise_size: normal dimensions of the noise.
        size: rows, a multiple of four.
        seed: of the draw.
        of_classes: class number of each row, [size] int64, if there are any.
    """
    first, second = split(graph, seed)
    drawn = normal(graph, first, (size, noise_size))
    if mixture is None:
        return [drawn]
    return [_from_mixture(graph, mixture, size, second, of_classes), drawn]


def _from_mixture(
    graph: Graph, mixture: Mixture, size: int, seed: Seed, of_classes: Name | None
) -> Name:
    """`aegan.latent.sample_mixture`."""
    components, dimensions = mixture.means.shape
    first, second = split(graph, seed)
    log_weights: Any = mixture.log_weights
    if of_classes is not None:
        log_weights = graph("Gather", log_weights, of_classes)
    component = categories(graph, log_weights, first, (size, components))
    drawn = graph("Unsqueeze", normal(graph, second, (size, dimensions)), np.array([2]))
    spread = graph("MatMul", graph("Gather", mixture.factors, component), drawn)
    means = graph("Gather", mixture.means, component)
    return graph("Add", means, graph("Squeeze", spread, np.array([2])))


def choose(graph: Graph, draws: Name, logits: Name, seed: Seed, shape: tuple[int, int]) -> Name:
    """`aegan.latent.choose` for a shape of samples and draws for each of them."""
    weights = graph("Reshape", logits, np.array(shape))
    chosen = categories(graph, weights, fold_in(graph, seed, 2), shape)
    firsts = np.arange(0, shape[0] * shape[1], shape[1])
    return graph("Gather", draws, graph("Add", chosen, firsts))


def _shifted(graph: Graph, value: Name, places: int) -> Name:
    """The 64 bits of a value, shifted to the right.

    No division: ONNX runtime 1.32 takes (1 / x) · y for y / x, of integers, too.
    """
    bits = graph.cast(value, np.uint64)
    return graph.cast(graph("BitShift", bits, np.uint64(places), direction="RIGHT"), np.int64)


def _unit(graph: Graph, word: Name) -> Name:
    """A word's last 23 bits as float32 in [0, 1)."""
    fraction = graph.cast(graph("BitwiseAnd", word, np.int64(0x7FFFFF)), np.float32)
    return graph("Mul", fraction, np.float32(2**-23))


def _interleaved(graph: Graph, parts: list[Name], shape: tuple[int, int]) -> Name:
    """Four times [groups] to [*shape], in the order of the groups."""
    columns = [graph("Unsqueeze", part, np.array([1])) for part in parts]
    return graph("Reshape", graph("Concat", *columns, axis=1), np.array(shape))
