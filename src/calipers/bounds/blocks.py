"""Disjoint regions of an Ising model under local fields: what structured mean field and region-Bethe have in common.

    A(η) = Σ_b log Z_b(θ_b + η_b),   m_i = ∂A/∂η_i,   inner_b = log Z_b − Σ_i η_i m_i = H(Q_b) + ⟨θ_b⟩

Q_b is the model of block b, its own fields and couplings and further fields η; edges between blocks are left over, and
what a bound makes of them is its own affair. Blocks are coloured so that no edge joins two of one colour: they can be
updated together. **Cost** 2^width entries a site, about 8 ns each.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from calipers.bounds.region_kernels import evaluate
from calipers.bounds.region_layout import Group, Pairs, Region, grouped
from calipers.core.witness import Block
from calipers.exact.kernels import ULP
from calipers.models.ising import Ising


class State(NamedTuple):
    """Blocks under fields `extra`, (n,): each block's `inner` and its rounding estimate, and the magnetizations, (n,).

    `loose` is a rounding estimate of each block's magnetizations.
    """

    extra: np.ndarray
    inner: np.ndarray
    error: np.ndarray
    magnetization: np.ndarray
    loose: np.ndarray

    @property
    def total(self) -> float:
        """Σ_b inner_b."""
        return math.fsum(self.inner)


class Blocks:
    """A partition of the sites into regions that are eliminated exactly.

    **Arguments:** `model`; `rank`, an elimination order; `blocks`, disjoint and covering.
    """

    def __init__(self, model: Ising, pairs: Pairs, rank: np.ndarray, blocks: Iterable[Region]):
        self.model, self.rank, self.blocks = model, rank, list(blocks)
        self.field = model.beta * np.asarray(model.fields)
        self.coupling = model.beta * np.asarray(model.couplings)
        self.block = np.empty(model.n, np.int64)
        left = np.ones(model.e, bool)
        for b, block in enumerate(self.blocks):
            self.block[block.sites] = b
            left[block.edges] = False
        self.left = np.flatnonzero(left)
        self.head, self.tail = np.asarray(model.edges)[self.left].T
        self.across = self.coupling[self.left]
        colour = _coloured(len(self.blocks), self.block[self.head], self.block[self.tail])
        self.colours = [
            grouped(pairs, rank, [b for b, own in zip(self.blocks, colour, strict=True) if own == c])
            for c in range(int(colour.max(initial=-1)) + 1)
        ]
        self.cells = sum(g.cells for groups in self.colours for g in groups)

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """Σ_j βJ_ij x_j over the edges left over at each site, (n,)."""
        up = np.bincount(self.head, self.across * values[self.tail], self.model.n)
        return up + np.bincount(self.tail, self.across * values[self.head], self.model.n)

    def at(self, extra: np.ndarray) -> State:
        """All blocks under these further fields."""
        n, count = self.model.n, len(self.blocks)
        state = State(np.zeros(n), np.zeros(count), np.zeros(count), np.zeros(n), np.zeros(count))
        for colour in range(len(self.colours)):
            state = self.updated(state, colour, extra)
        return state

    def updated(self, state: State, colour: int, extra: np.ndarray) -> State:
        """`state` with the blocks of one colour under these further fields."""
        new = State(*(x.copy() for x in state))
        for group in self.colours[colour]:
            new.extra[group.sites] = extra[group.sites]
            self._evaluate(group, extra[group.sites], new)
        return new

    def _evaluate(self, group: Group, extra: np.ndarray, state: State) -> None:
        fields = self.field[group.sites] + extra
        couplings, weights = self.coupling[group.pairs], np.ones_like(fields)
        slopes = np.empty_like(fields), np.empty_like(couplings), np.empty_like(fields)
        shed, sizes = np.empty_like(fields), np.empty_like(fields)
        evaluate(group.template, (fields, couplings, weights), slopes, shed, sizes, np.float64)
        means, where = np.clip(slopes[0], -1.0, 1.0), self.block[group.sites[:, 0]]
        moved = np.abs(fields).sum(1) + np.abs(couplings).sum(1)
        rounding = ULP * (24.0 * (np.abs(shed) + 2.0 * sizes + 1.0).sum(1) + 8.0 * moved)
        state.magnetization[group.sites] = means
        state.inner[where] = shed.sum(1) - (extra * means).sum(1)
        state.error[where] = rounding + (2.0 * rounding + 32.0 * ULP) * np.abs(extra).sum(1)
        state.loose[where] = 2.0 * rounding + 4.0 * ULP


def trials(blocks: Blocks, extra: np.ndarray) -> tuple[Block, ...]:
    """The blocks of a witness under further fields (n,): their orders and extra tables."""
    parts = []
    for block in blocks.blocks:
        order = block.sites[np.argsort(blocks.rank[block.sites])].tolist()
        fields = zip(order, extra[order].tolist(), strict=True)
        parts.append(Block(tuple(order), tuple(((v,), np.array([x, -x])) for v, x in fields if x != 0.0)))
    return tuple(parts)


def _coloured(count: int, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """A greedy colouring of the blocks, shape (count,)."""
    near: list[set[int]] = [set() for _ in range(count)]
    for a, b in set(zip(heads.tolist(), tails.tolist(), strict=True)):
        near[a].add(b)
        near[b].add(a)
    colour = np.full(count, -1)
    for b in range(count):
        taken = {int(colour[a]) for a in near[b]}
        colour[b] = next(c for c in range(count) if c not in taken)
    return colour
