"""Region-Bethe: a lower bound on log Z of ferromagnets, from strips and the edges between them.

    log Z ≥ Σ_b [H(Q_b) + ⟨θ_b⟩] + Σ_{ij left over} [H(p_ij) − H(m_i) − H(m_j) + βJ_ij ⟨s_i s_j⟩]

The blocks b are the large factors of a factor graph, the edges between them its small ones; this is its Bethe
functional at pseudo-marginals that agree on every site: Q_b under any further fields fixes m_i, and p_ij is any table
with marginals m_i and m_j. **Proves** a lower bound (Theorem 6) if all βJ ≥ 0, fields of any sign; couplings of both
signs are allowed when flips of spins make them so. The fields are those of belief propagation between blocks: every
iterate is a bound. **Cost** 2^width entries a site and sweep. **Fails** by refusing frustrated models. **Source**
Ruozzi, *The Bethe partition function of log-supermodular graphical models* (2012).
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from scipy.special import entr

from calipers.bounds.blocks import Blocks, State, trials
from calipers.bounds.cover_blocks import blocks_of, widest
from calipers.bounds.region_witness import AGREE
from calipers.core.answer import Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Bethe as Witness
from calipers.core.witness import Link
from calipers.exact.kernels import ULP
from calipers.models.gauge import ferromagnetic_signs, turned
from calipers.models.ising import Ising, require_magnet

_SECONDS = 1.2e-8  # an entry and sweep, on one 2026 core; only plans depend on it
_MOST = 1.0 - 1e-15  # a magnetization that is as good as 1


class RegionBethe(AbstractMethod):
    """The Bethe functional with strips (on other graphs: blocks) as single factors.

    **Arguments:** `width`, sites across a block, or None to grow it while time and memory last; `sweeps`, at most, from
    each starting point; `tolerance`, the change of a message, in nats, below which a start is finished.

    **Proves** a lower bound for `Ising` models. **Raises** `Refusal` for frustrated models and for other models.
    """

    proves: ClassVar[Proves] = Proves.LOWER
    width: int | None = None
    sweeps: int = 100
    tolerance: float = 1e-6

    def __check_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError(f"width is {self.width}; a block is at least one site wide")
        if self.sweeps < 1:
            raise ValueError(f"sweeps is {self.sweeps}; it must be at least 1")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Looks for flips of spins that make every coupling ferromagnetic."""
        model = require_magnet(model, "RegionBethe() takes Ising models; use Tangent() for other factor graphs")
        signs = ferromagnetic_signs(model)
        if signs is None:
            raise Refusal("RegionBethe() needs a model without frustration; use StructuredMeanField() for this one")
        width = "growing" if self.width is None else f"{self.width}"
        text = f"Region-Bethe, blocks of width {width}, {self.sweeps} sweeps a start."
        return Plan(text, (turned(model, signs), signs), limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """An answer whenever the bound moves, at ever larger widths."""
        assert isinstance(model, Ising)
        (magnet, signs), best = plan.structure, -math.inf
        for width in self._widths(magnet):
            if best > -math.inf and not _fits(magnet, width, plan.limits):
                return
            blocks = Blocks(magnet, *blocks_of(magnet, width, cut=False))
            for messages in _starts(blocks):
                for sweep, state in enumerate(self._sweep(blocks, messages)):
                    value, error = bethe(blocks, state)
                    if value > best + 1e-9 * abs(best) or best == -math.inf:
                        best = value
                        yield self._answer(blocks, width, sweep, (value, error), (state, signs), plan)
                    else:
                        yield Answer(plan=plan)

    def _widths(self, model: Ising) -> Iterator[int]:
        if self.width is not None:
            yield min(self.width, widest(model))
            return
        most = widest(model)
        yield from sorted({min(width, most) for width in (1, 2, 4, 6, *range(8, 25, 2))})

    def _sweep(self, blocks: Blocks, messages: np.ndarray) -> Iterator[State]:
        """Belief propagation between blocks from these messages, (2, e): to the heads and to the tails of edges."""
        t, n = np.tanh(blocks.across), blocks.model.n
        for _ in range(self.sweeps):
            extra = np.bincount(blocks.head, messages[0], n) + np.bincount(blocks.tail, messages[1], n)
            state = blocks.at(extra)
            yield state
            h = np.arctanh(np.clip(state.magnetization, -_MOST, _MOST))
            cavity = np.stack([h[blocks.tail] - messages[1], h[blocks.head] - messages[0]])
            new = np.arctanh(np.clip(t * np.tanh(cavity), -_MOST, _MOST))
            change, messages = np.abs(new - messages).max(initial=0.0), new
            if change < self.tolerance:
                return

    def _answer(
        self, blocks: Blocks, width: int, sweep: int, bound: tuple[float, float], at: tuple, plan: Plan
    ) -> Answer:
        (value, error), offset = bound, blocks.model.beta * blocks.model.offset
        total, error = value - offset, error + ULP * (abs(value) + 2.0 * abs(offset))
        name, proof = repr(RegionBethe(width, self.sweeps, self.tolerance)), lambda: witness(blocks, *at)
        lower = Side(outward(total, error, -1.0), Grounds.COMPUTED, method=name, witness=proof)
        stats = {"width": width, "blocks": len(blocks.blocks), "sweeps": sweep, "left over": len(blocks.left)}
        return Answer(lower=lower, stats=stats, plan=plan)


def _starts(blocks: Blocks) -> Iterator[np.ndarray]:
    """Messages from neighbours that are all up, all down (if fields differ in sign), or as their own fields say."""
    t, up = np.tanh(blocks.across), np.full(blocks.model.n, _MOST)
    some = [up]
    if (blocks.field < 0).any():
        some += [-up] if not (blocks.field > 0).any() else [-up, np.tanh(blocks.field)]
    for m in some:
        yield np.arctanh(np.clip(t * np.stack([m[blocks.tail], m[blocks.head]]), -_MOST, _MOST))


def bethe(blocks: Blocks, state: State) -> tuple[float, float]:
    """The Bethe functional at the blocks' state, with the best pair tables, and its rounding estimate."""
    q, J = 0.5 * (1.0 + state.magnetization), blocks.across
    a, b = q[blocks.head], q[blocks.tail]
    tables = _pair(a, b, J)
    single = entr(q) + entr(1.0 - q)
    terms = sum(entr(np.maximum(x, 0.0)) for x in tables) - single[blocks.head] - single[blocks.tail]
    terms += J * (1.0 - 2.0 * (tables[1] + tables[2]))
    value = math.fsum([*state.inner, *terms])
    loose = _loose(blocks, state)  # of the marginals, and as much again of what a witness keeps away from 0
    error = 2.0 * (loose * (4.0 * (1.0 - np.log(np.minimum(loose, 0.1))) + 4.0 * np.abs(J))).sum()
    return value, float(state.error.sum() + error + ULP * (8.0 * len(terms) + abs(value)))


def _loose(blocks: Blocks, state: State) -> np.ndarray:
    """A rounding estimate of the marginals at both ends of each edge left over, together."""
    return state.loose[blocks.block[blocks.head]] + state.loose[blocks.block[blocks.tail]] + 8.0 * ULP


def _pair(a: np.ndarray, b: np.ndarray, J: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pair tables P(++), P(+−), P(−+), P(−−) with marginals P(+) = a, b, at odds ratio e^{4J}, J ≥ 0.

    Whatever rounding does to P(++), it is kept within the range in which the marginals are a and b.
    """
    odds = np.exp(-4.0 * J)
    linear = odds + (1.0 - odds) * (a + b)
    root = np.sqrt(np.maximum(linear**2 - 4.0 * (1.0 - odds) * a * b, 0.0))
    both = 2.0 * a * b / np.maximum(linear + root, 1e-300)
    both = np.clip(both, np.maximum(a + b - 1.0, 0.0), np.minimum(a, b))
    return both, a - both, b - both, 1.0 - a - b + both


def witness(blocks: Blocks, state: State, signs: np.ndarray) -> Witness:
    """What a certificate of the bound needs, in the spins of the model before its flips `signs`.

    Covariances stay within what the marginals allow, whatever rounding has done to these.
    """
    q = 0.5 * (1.0 + state.magnetization)
    a, b = q[blocks.head], q[blocks.tail]
    room = np.maximum(np.minimum(a * (1.0 - b), b * (1.0 - a)) - _loose(blocks, state), 0.0)
    covariance = np.clip(_pair(a, b, blocks.across)[0] - a * b, 0.0, room) * signs[blocks.head] * signs[blocks.tail]
    links = [Link(e, c * AGREE) for e, c in zip(blocks.left.tolist(), covariance.tolist(), strict=True)]
    flips = (signs < 0).astype(np.int64)
    return Witness((np.arange(2),) * blocks.model.n, flips, trials(blocks, state.extra * signs), tuple(links))


def _fits(model: Ising, width: int, limits: Limits) -> bool:
    """Whether a dozen sweeps at this width fit the time left, and the memory."""
    entries = 2.0**width * model.n
    return 12 * entries * _SECONDS < limits.seconds_left() and 24.0 * entries < limits.memory
