"""Structured mean field: a lower bound on log Z of Ising models, from strips or other blocks.

    log Z ≥ Σ_b [H(Q_b) + ⟨θ_b⟩] + Σ_{ij left over} βJ_ij m_i m_j,     Q_b ∝ exp(θ_b + Σ_i η_i s_i)

the tangent (GBF) bound of a product of block models, Theorem 1, at fields η_i = Σ_j βJ_ij m_j of a sweep over blocks:
coordinate ascent, a bound at every sweep. Glasses have many maxima, so there are many starts: half of them at random,
half the best so far with a piece of it disturbed. **Cost** 2^width entries a site and sweep, about 10 ns each.
**Fails** never, but stays below what correlations across blocks add. **Source** Saul & Jordan (1996).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from calipers.bounds.blocks import Blocks, State, trials
from calipers.bounds.cover_blocks import blocks_of, widest
from calipers.core.answer import Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Tangent
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising, require_magnet

_SECONDS, _SWEEPS = 1.2e-8, 30  # an entry and sweep, on one 2026 core; sweeps a start takes: plans depend on them
_HURRY = 3  # on the way to wider blocks, this many times fewer starts
_IDLE = 3  # rounds of starts without progress, after which a search ends
_TICK = 0.1  # seconds of work without progress, after which control returns all the same
_SWEEP = 0.04  # of the time left, that one sweep may take
_LEAST = 3  # starts for which there must be time before blocks are made wider


class StructuredMeanField(AbstractMethod):
    """The GBF bound of strips (on other graphs: blocks), each under the mean fields of the others.

    **Arguments:** `width`, sites across a block, or None to grow it while time and memory last; `starts` at that width,
    or at the widest (on the way, a third of them); `sweeps`, at most, from each; `tolerance`, nats of progress below
    which a start is finished; `seed` of the starts.

    **Proves** a lower bound for `Ising` models. **Raises** `Refusal` for other models.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    width: int | None = None
    starts: int = 10
    sweeps: int = 100
    tolerance: float = 1e-4
    seed: int = 0

    def __check_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"width is {self.width}; a block is at least one site wide")
        if self.starts < 1 or self.sweeps < 1:
            raise ValueError(f"starts is {self.starts} and sweeps {self.sweeps}; both must be at least 1")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Blocks are chosen one width at a time."""
        model = require_magnet(model, "StructuredMeanField() takes Ising models; use Tangent() for other factor graphs")
        width = "growing" if self.width is None else f"{self.width}"
        return Plan(f"Structured mean field, blocks of width {width}, {self.starts} starts each.", limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Ever wider blocks; when no wider ones fit the time, further starts at the last width."""
        assert isinstance(model, Ising)
        random, best, slower, blocks = np.random.default_rng(self.seed), Best(-math.inf, None), 1.0, None
        for width in self._widths(model):
            if blocks is not None and not _fits(model, width, slower, plan.limits):
                break
            began, blocks, at = time.monotonic(), Blocks(model, *blocks_of(model, width, cut=True)), width
            starts = self.starts if self.width is not None else max(1, self.starts // _HURRY)
            for better in self._search(blocks, best, random, starts):
                yield Answer(plan=plan) if better is best else self._answer(blocks, at, better, plan)
                best = better
            if not len(blocks.left):
                return
            slower = (time.monotonic() - began) / (_seconds(model, width) * starts)
        assert blocks is not None
        idle = 0
        while self.width is None and math.isfinite(plan.limits.deadline) and idle < _IDLE:
            idle += 1
            for better in self._search(blocks, best, random, self.starts):
                yield Answer(plan=plan) if better is best else self._answer(blocks, at, better, plan)
                idle, best = (idle if better is best else 0), better

    def _widths(self, model: Ising) -> Iterator[int]:
        if self.width is not None:
            yield min(self.width, widest(model))
            return
        most = widest(model)
        yield from sorted({min(width, most) for width in (2, 4, 6, *range(8, 25, 2))})

    def _search(self, blocks: Blocks, best: "Best", random: np.random.Generator, starts: int) -> Iterator["Best"]:
        """Every improvement on `best` from this many starts; `best` itself now and then while there is none."""
        told = time.monotonic()
        for start in range(starts):
            for state in self._sweep(blocks, _starting(blocks, best, start, random)):
                value, error = gibbs(blocks, state)
                if value > best.value + 1e-7 or best.state is None:
                    best = Best(value, state, error)
                elif time.monotonic() < told + _TICK:
                    continue
                told = time.monotonic()
                yield best

    def _sweep(self, blocks: Blocks, magnetization: np.ndarray) -> Iterator[State]:
        """States after sweeps over the blocks, colour by colour."""
        state, last = blocks.at(blocks.gathered(magnetization)), -math.inf
        for _ in range(self.sweeps):
            for colour in range(len(blocks.colours)):
                state = blocks.updated(state, colour, blocks.gathered(state.magnetization))
            yield state
            value = gibbs(blocks, state)[0]
            if value < last + self.tolerance:
                return
            last = value

    def _answer(self, blocks: Blocks, width: int, best: "Best", plan: Plan) -> Answer:
        offset, state = blocks.model.beta * blocks.model.offset, best.state
        assert state is not None
        total, error = best.value - offset, best.error + ULP * (abs(best.value) + 2.0 * abs(offset))
        name = repr(StructuredMeanField(width, self.starts, self.sweeps, self.tolerance, self.seed))
        proof = lambda: Tangent((np.arange(2),) * blocks.model.n, trials(blocks, state.extra))  # noqa: E731
        lower = Side(outward(total, error, -1.0), Grounds.COMPUTED, method=name, witness=proof)
        stats = {"width": width, "blocks": len(blocks.blocks), "left over": len(blocks.left)}
        return Answer(lower=lower, stats=stats, plan=plan)


class Best(NamedTuple):
    """The best bound so far (without the model's offset), where it was reached, and its rounding estimate."""

    value: float
    state: State | None
    error: float = 0.0


def gibbs(blocks: Blocks, state: State) -> tuple[float, float]:
    """The GBF bound at the blocks' state, and its rounding estimate."""
    m = state.magnetization
    terms = blocks.across * m[blocks.head] * m[blocks.tail]
    value = math.fsum([*state.inner, *terms])
    loose = state.loose[blocks.block[blocks.head]] + state.loose[blocks.block[blocks.tail]] + 4.0 * ULP
    return value, float(state.error.sum() + (loose * np.abs(blocks.across)).sum() + ULP * abs(value))


def _starting(blocks: Blocks, best: Best, start: int, random: np.random.Generator) -> np.ndarray:
    """Magnetizations to begin from: nearly none, or the best so far; then at random, or with a piece disturbed."""
    n = blocks.model.n
    if start == 0:
        return 0.01 * random.standard_normal(n) if best.state is None else best.state.magnetization
    if start % 2 or best.state is None:
        return random.uniform(-1.0, 1.0, n)
    piece, edges = np.zeros(n, bool), np.asarray(blocks.model.edges)
    piece[random.integers(n)] = True
    for _ in range(int(random.integers(1, 5))):
        piece[edges[piece[edges].any(1)]] = True
    return np.where(piece, -best.state.magnetization, best.state.magnetization)


def _seconds(model: Ising, width: int) -> float:
    """Expected time of one start."""
    return _SWEEPS * model.n * (2.0**width * _SECONDS + 1e-6)


def _fits(model: Ising, width: int, slower: float, limits: Limits) -> bool:
    """Whether a few starts at this width, and many sweeps, fit the time left, and their tables the memory."""
    left, start = limits.seconds_left(), _seconds(model, width)
    enough = _LEAST * slower * start < left and start / _SWEEPS < _SWEEP * left
    return enough and 24.0 * 2.0**width * model.n < limits.memory
