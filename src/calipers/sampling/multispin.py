"""Multispin Metropolis on the periodic square ferromagnet: 64 spins a word, a checkerboard at a time.

    flip with probability 1, e^{−4K}, e^{−8K} where at most 2, 3, 4 neighbours agree,     K = βJ

Acceptance probabilities are right to 2⁻⁴⁸ (`multispin_kernels.py` says how), so that there is no bias to be seen; the
tie that sixteen bits leave is settled once a block of rows. **Cost** 0.08 ns a spin and core, 2 bits a spin with the
random streams. **Fails** by critical slowing down, and refuses: fields, couplings that differ or are not positive, rows
of a length that is no multiple of 128, and K < 0.001, where nearly every spin would flip in step. **Source** Jacobs &
Rebbi (1981); Block, Virnau & Preis (2010).
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.models.ising import Ising
from calipers.sampling import multispin_kernels as kernels
from calipers.sampling.kernel import AbstractKernel, Info, Measured, first_states
from calipers.sampling.streams import source, streams

WEAKEST = 1e-3
_LANES = 256  # at least so many words are updated together


class MultispinState(NamedTuple):
    """Words of both sublattices, (chains, rows + 2, W) uint64 each; streams; bits of both thresholds and their ties."""

    black: np.ndarray
    white: np.ndarray
    lanes: np.ndarray  # (chains, 4, B)
    coin: np.ndarray  # (chains, 4)
    bits: np.ndarray  # (2, 16) words, all ones or zeros
    rest: np.ndarray  # (2,)


class Multispin(AbstractKernel):
    """Bit-packed Metropolis for a uniform ferromagnet without field on the periodic square lattice, 64 spins a word.

    **Arguments:** `threads`, that share the chains; results do not depend on it.
    """

    threads: int = 1

    def __check_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it must be 1 or more")

    def init(
        self, model: AbstractDiscreteModel, *, key: Any = None, seed: int | None = None, chains: int = 4,
        start: np.ndarray | None = None,
    ) -> MultispinState:  # fmt: skip
        shape, K = torus(model)
        rng = source(key, seed)
        if start is None:
            return self.init_lattice(shape, K, rng, chains)
        states = first_states(np.full(model.n, 2), rng, chains, start).reshape(chains, *shape)
        black, white = pack(states == 0)
        return self.init_lattice(shape, K, rng, chains)._replace(black=black, white=white)

    def init_lattice(
        self, shape: tuple[int, int], K: float, rng: np.random.Generator, chains: int = 1, up: bool = False
    ) -> MultispinState:
        """The state for a lattice too large to be spelled out as a model, random or all up.

        **Arguments:** `shape`, rows (even) and columns (a multiple of 128); `K`, βJ; `rng`, the source of all streams.
        """
        rows, columns = shape
        if rows < 2 or rows % 2 or columns % 128 or columns < 128:
            raise Refusal(f"{rows}×{columns} spins do not fill words: rows must be even, columns a multiple of 128")
        if not WEAKEST <= K < math.inf:
            raise Refusal(f"βJ is {K:.3g}; this kernel needs a ferromagnet with βJ ≥ {WEAKEST}; use HeatBath()")
        width = columns // 128
        size = (chains, rows + 2, width)
        full = np.iinfo(np.uint64).max
        halves = [np.full(size, full) if up else rng.integers(0, full, size, np.uint64, True) for _ in range(2)]
        for half in halves:
            _wrap(half)
        (m3, rest3), (m4, rest4) = (kernels.threshold(math.exp(-k * K)) for k in (4.0, 8.0))
        lanes = streams(rng, chains, width * -(-_LANES // width)).transpose(0, 2, 1)
        return MultispinState(
            halves[0], halves[1], np.ascontiguousarray(lanes), streams(rng, chains), np.array([m3, m4], np.uint64),
            np.array([rest3, rest4]),
        )  # fmt: skip

    def step(self, state: MultispinState, sweeps: int = 1) -> tuple[MultispinState, Info]:
        new = state._replace(**{name: getattr(state, name).copy() for name in ("black", "white", "lanes", "coin")})
        advance(new, sweeps, self.threads)
        chains, rows, width = new.black.shape
        return new, Info(np.full(chains, -1), sweeps * 128 * (rows - 2) * width)  # flips are not counted

    def states(self, state: MultispinState) -> np.ndarray:
        up = unpack(state.black, state.white)
        return 1 - up.reshape(len(up), -1).view(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[MultispinState], Measured]:
        (_rows, _columns), _ = torus(model)
        assert isinstance(model, Ising)
        J, offset = float(model.couplings[0]), float(model.offset)

        def measure(state: MultispinState) -> Measured:
            totals = np.array([kernels.totals(b, w) for b, w in zip(state.black, state.white, strict=True)], float)
            return Measured(offset - J * totals[:, 1], totals[:, 0])

        return measure


def advance(state: MultispinState, sweeps: int, threads: int = 1) -> None:
    """Sweeps in place; the kernel does without the interpreter's lock, so that chains can have a thread each."""
    m3, m4 = (tuple(row) for row in state.bits)

    def run(c: int) -> None:
        kernels.sweep(
            state.black[c], state.white[c], m3, float(state.rest[0]), m4, float(state.rest[1]), sweeps, state.lanes[c],
            state.coin[c],
        )  # fmt: skip

    if threads == 1:
        for c in range(len(state.black)):
            run(c)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(len(state.black))))


def torus(model: AbstractDiscreteModel) -> tuple[tuple[int, int], float]:
    """The shape of a uniform periodic square magnet without field, and K = βJ. Raises `Refusal` for other models."""
    lattice = model.lattice if isinstance(model, Ising) else None
    if not isinstance(model, Ising) or lattice is None or lattice.kind != "square" or not lattice.periodic:
        raise Refusal("Multispin() is for Ising.square(…) with periodic sides; use Metropolis() or MultispinReplicas()")
    if model.fields.any() or not len(model.couplings) or np.ptp(model.couplings):
        raise Refusal("Multispin() needs one coupling everywhere and no field; use Metropolis() or SwendsenWang()")
    rows, columns = lattice.shape
    (a, b), (c, d) = (np.divmod(model.edges[:, k], columns) for k in (0, 1))
    right = (a == c) & np.isin(d - b, (1, columns - 1))
    down = (b == d) & np.isin(c - a, (1, rows - 1))
    if len(model.edges) != 2 * model.n or rows < 4 or not (right | down).all():
        raise Refusal(f"these {len(model.edges)} bonds are not those of a {rows}×{columns} torus of sides ≥ 4")
    return (rows, columns), float(model.beta * model.couplings[0])


def _wrap(half: np.ndarray) -> None:
    """The rows beyond the edge repeat the opposite ones, in every chain."""
    half[:, 0], half[:, -1] = half[:, -2], half[:, 1]


def pack(up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Booleans (chains, rows, columns) as the words of both sublattices, edges wrapped."""
    halves = []
    for colour in range(2):
        bits = np.where((np.arange(up.shape[1]) % 2 == colour)[:, None], up[:, :, ::2], up[:, :, 1::2])
        words = np.ascontiguousarray(np.packbits(bits, axis=2, bitorder="little")).view("<u8").astype(np.uint64)
        half = np.concatenate([words[:, :1], words, words[:, :1]], axis=1)
        _wrap(half)
        halves.append(half)
    return halves[0], halves[1]


def unpack(black: np.ndarray, white: np.ndarray) -> np.ndarray:
    """The reverse of `pack`: uint8 0 or 1, (chains, rows, columns)."""
    inner = [np.ascontiguousarray(h[:, 1:-1]).astype("<u8").view(np.uint8) for h in (black, white)]
    bits = [np.unpackbits(h, axis=2, bitorder="little") for h in inner]
    out = np.empty((*bits[0].shape[:2], 2 * bits[0].shape[2]), np.uint8)
    for row, column, half in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):  # black sites have row + column even
        out[:, row::2, column::2] = bits[half][:, row::2]
    return out
