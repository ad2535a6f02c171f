"""Multispin Metropolis on periodic square and cubic lattices with couplings ±J: 64 spins a word, a checkerboard.

    flip with probability min(1, e^{−2K(held − broken)})          held, broken: bonds of the spin;  K = β|J|

Acceptance probabilities are right to 2⁻⁴⁸ (`multispin_kernels.py` says how), so that there is no bias to be seen; the
tie that sixteen bits leave is settled once a run of 512 words. Rows are divided into bands that have random streams of
their own: threads share the bands of a lattice, and the chains, and change nothing. **Cost** 0.08 ns a spin and core on
the square lattice, 0.1 on the cubic one; a bit a spin, three more a dimension where signs differ. **Fails** by critical
slowing down, and refuses: fields, couplings of different size, a last side that is no multiple of 128, other sides that
are odd, and K < 0.001, where nearly every spin would flip in step. **Source** Jacobs & Rebbi (1981); Block, Virnau &
Preis (2010).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.sampling import multispin_kernels as kernels
from calipers.sampling import packing
from calipers.sampling.kernel import AbstractKernel, Info, first_states
from calipers.sampling.measure import Measured
from calipers.sampling.streams import streams
from calipers.sampling.teams import at_once, run_team

WEAKEST = 1e-3
BITS = 64
_BAND = 4096  # words of both colours that are worth a thread
_BANDS = 64
_UNHEARD = 5e9  # updates between two chances to interrupt


class MultispinState(NamedTuple):
    """Words, streams, wiring and thresholds; R rows of W words a colour, one more at either end."""

    words: np.ndarray  # (chains, 2, R, W + 2)
    lanes: np.ndarray  # (chains, bands, 4, min(W, 512))
    coin: np.ndarray  # (chains, bands, 4)
    shape: np.ndarray  # (d,)
    bands: np.ndarray  # (bands + 1,) the rows where they begin
    near: np.ndarray  # (R, 2d − 2) rows of neighbours
    turn: np.ndarray  # the same: by how much their bits are turned
    odd: np.ndarray  # (R,) sum of the row's coordinates
    sign: np.ndarray  # (2, 2d, R, W) all ones where a bond is negative; (2, 2d, 1, 512) where all are alike
    bits: np.ndarray  # (3, 16) words, all ones or zeros
    rest: np.ndarray  # (3,)


class Multispin(AbstractKernel):
    """Bit-packed Metropolis on periodic square and cubic lattices, couplings ±J, no field: 64 spins a word.

    **Arguments:** `threads`, that share chains and rows, 0 for all that numba may use; results do not depend on it.
    """

    threads: int = 0

    def __check_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; it must be 1 or more, or 0 for all that numba may use")

    def begin(
        self, model: AbstractDiscreteModel, rng: np.random.Generator, chains: int, start: np.ndarray | None
    ) -> MultispinState:
        torus = packing.torus(model, BITS)
        alike = bool(torus.negative.all() or not torus.negative.any())
        sign = None if alike else packing.signs(torus.negative, BITS)
        state = self.init_lattice(torus.shape, torus.K, rng, chains, sign=sign, negative=bool(torus.negative.flat[0]))
        if start is None:
            return state
        states = first_states(np.full(model.n, 2), rng, chains, start).reshape(chains, *torus.shape)
        return state._replace(words=_framed(packing.pack(states == 0, BITS)))

    def init_lattice(
        self, shape: tuple[int, ...], K: float, rng: np.random.Generator, chains: int = 1, up: bool = False,
        sign: np.ndarray | None = None, negative: bool = False,
    ) -> MultispinState:  # fmt: skip
        """The state for a lattice too large to be spelled out as a model, random or all up.

        **Arguments:** `shape`, 2 or 3 sides, the last a multiple of 128; `K`, β|J|; `rng`, the source of all streams;
        `sign`, words of the negative bonds as `packing.signs` makes them, else all are `negative` or none.
        """
        packing.check_shape(shape, BITS)
        if len(shape) > 3:
            raise Refusal(f"Multispin() is for 2 and 3 dimensions, not {len(shape)}; use Metropolis()")
        if not WEAKEST <= K < np.inf:
            raise Refusal(f"β|J| is {K:.3g}; this kernel needs {WEAKEST} or more; use HeatBath()")
        *outer, width = packing.word_shape(shape, BITS)
        rows, full = int(np.prod(outer)), np.iinfo(np.uint64).max
        size = (2, chains, rows, width)
        words = np.full(size, full) if up else rng.integers(0, full, size, np.uint64, True)
        bands = max(1, min(rows, _BANDS, rows * width // _BAND))
        made = [kernels.threshold(p) for p in (*packing.acceptance(K, len(shape)), 0.0)[:3]]
        same = np.full((2, 2 * len(shape), 1, kernels.RUN), full if negative else 0, np.uint64)
        lanes = streams(rng, chains, bands, min(width, kernels.RUN)).swapaxes(2, 3)
        return MultispinState(
            words=_framed(words),
            lanes=np.ascontiguousarray(lanes),
            coin=streams(rng, chains, bands),
            shape=np.array(shape),
            bands=np.arange(bands + 1) * rows // bands,
            sign=same if sign is None else sign.reshape(2, -1, rows, width),
            bits=np.array([bits for bits, _ in made], np.uint64),
            rest=np.array([rest for _, rest in made]),
            **_rows(tuple(outer)),
        )

    def step(self, state: MultispinState, sweeps: int = 1) -> tuple[MultispinState, Info]:
        new = state._replace(**{name: getattr(state, name).copy() for name in ("words", "lanes", "coin")})
        advance(new, sweeps, self.threads or get_num_threads())
        return new, Info(np.full(len(new.words), -1), sweeps * int(np.prod(new.shape)))  # flips are not counted

    def states(self, state: MultispinState) -> np.ndarray:
        outer = packing.word_shape(tuple(state.shape.tolist()), BITS)[:-1]
        words = state.words[..., 1:-1].swapaxes(0, 1)
        words = words.reshape(*words.shape[:2], *outer, words.shape[-1])
        up = packing.unpack(words, tuple(state.shape.tolist()))
        return 1 - up.reshape(len(up), -1).view(np.int8)

    def meter(self, model: AbstractDiscreteModel) -> Callable[[MultispinState], Measured]:
        torus = packing.torus(model, BITS)
        offset = float(model.offset)  # type: ignore[attr-defined]

        def measure(state: MultispinState) -> Measured:
            totals = spins_and_bonds(state)
            return Measured(offset - torus.size * totals[:, 1], totals[:, 0])

        return measure


def spins_and_bonds(state: MultispinState) -> np.ndarray:
    """Σ s_i and Σ ±s_i s_j of each chain, (chains, 2)."""
    found = [kernels.totals(words, state.near, state.turn, state.odd, state.sign) for words in state.words]
    return np.array(found, float)


def advance(state: MultispinState, sweeps: int, threads: int = 1) -> None:
    """Sweeps in place; chains have a thread each, or a team of them where there are more threads than chains."""
    chains, m = len(state.words), tuple(tuple(row) for row in state.bits)
    team = max(1, min(threads // chains, len(state.bands) - 1))

    def part(c: int, me: int, done: np.ndarray, until: int) -> int:
        return kernels.half_sweeps(
            state.words[c], state.near, state.turn, state.odd, state.sign, m, state.rest, state.lanes[c],
            state.coin[c], state.bands, me, done, until,
        )  # fmt: skip

    most = max(1, int(_UNHEARD / (chains * np.prod(state.shape))))
    while sweeps > 0:
        now = min(most, sweeps)
        tasks = [
            task
            for c in range(chains)
            for task in run_team(team, lambda me, done, until, c=c: part(c, me, done, until), 2 * now)  # type: ignore[misc]
        ]
        at_once(tasks, threads)
        sweeps -= now


def _rows(outer: tuple[int, ...]) -> dict[str, Any]:
    """The wiring of rows of words (S, …): who holds the neighbours, and whether their bits turn."""
    index, place = np.arange(int(np.prod(outer))).reshape(outer), np.indices(outer)
    near, turn = [], []
    for axis in range(len(outer)):
        for step in (1, -1):
            near.append(np.roll(index, -step, axis).ravel())
            edge = place[axis] == (outer[axis] - 1 if step == 1 else 0)
            turn.append((step * edge * (axis == 0)).ravel())
    return {"near": np.stack(near, 1), "turn": np.stack(turn, 1).astype(np.int64), "odd": place.sum(0).ravel()}


def _framed(words: np.ndarray) -> np.ndarray:
    """Words (2, chains, …, W) as (chains, 2, R, W + 2), the last of a row before the first and the first after it."""
    rows = np.ascontiguousarray(words.swapaxes(0, 1)).reshape(words.shape[1], 2, -1, words.shape[-1])
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="wrap"))
