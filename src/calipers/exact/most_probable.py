"""Ground states: the k configurations of the largest weight, by elimination with max in the place of sum.

    μ_v(rest) = max_{x_v} (Σ tables and messages that contain v)

After this pass the buckets, read backwards, tell what each choice costs against the best one, whatever comes after it.
So the next best configurations are the best one with one choice changed and everything after it chosen best again: each
new configuration is kept with the list of its own changes, sorted, and a heap gives the next (Lawler 1972). Every
configuration is found once, ties included. **Proves** that no other configuration has a larger weight than the last
one, up to rounding: weights that differ by less than some 10⁻¹⁴ of their size count as tied, and ties come in no
particular order. **Cost** one elimination without exponentials, then about one visit of every variable a configuration.
**Fails** by refusing, as elimination does. **Source** Dechter 1999; Lawler, *A procedure for computing the k best
solutions to discrete optimization problems* (1972).
"""

import heapq
from typing import NamedTuple

import equinox as eqx
import numpy as np
from numba import njit

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_layout import chunks
from calipers.exact.joints import Walk, entry, fill, walk
from calipers.exact.kernels import Program
from calipers.exact.query import Impossible, Layout, lay_out, log_weights, until
from calipers.exact.sampler import state_type
from calipers.models.spins import to_spins


class MostProbable(eqx.Module):
    """Configurations in the order of falling weight.

    **Arguments:** `states`, shape (k, n); `log_weights`, shape (k,), nats (−βE for a magnet). Their log probability is
    the log weight less log Z.
    """

    states: np.ndarray
    log_weights: np.ndarray

    def __len__(self) -> int:
        return len(self.states)

    @property
    def spins(self) -> np.ndarray:
        """The same as spins, +1 for state 0 and −1 for state 1, float64. Raises `ValueError` for other states."""
        return to_spins(self.states)


def most_probable(
    model: AbstractDiscreteModel, k: int = 1, *, time_limit: float = 60.0, memory: float = 8e9
) -> MostProbable:
    """The k most probable configurations: ground states, then the lowest excitations; MAP assignments, the k best.

    **Arguments:** `k` ≥ 1; `time_limit`, seconds that one pass may take by estimate; `memory`, bytes.

    **Returns:** `MostProbable`; fewer than k rows when fewer configurations have positive weight, none when none has.

    **Raises:** `Refusal` with the estimate when elimination does not fit.
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for one configuration or more")
    graph, dtype = model.factor_graph(), state_type(model)
    try:
        layout = lay_out(model, (), until(time_limit, memory), copies=1.0)
    except Impossible:
        return MostProbable(np.zeros((0, graph.n), dtype), np.zeros(0))
    found = _search(layout, k)
    states = layout.lift(np.array(found, dtype).reshape(len(found), len(layout.active)).T)
    weights = log_weights(graph, states)
    order = np.argsort(-weights, kind="stable")
    return MostProbable(states[order], weights[order])


class _Found(NamedTuple):
    """A configuration, what it loses against the best one, and its cheapest changes, dearest last."""

    x: np.ndarray
    loss: float
    changes: np.ndarray  # numbers of (bucket, state)
    losses: np.ndarray


class _Landscape(NamedTuple):
    """The tree after the pass of maxima; the losses of bucket b's states lie at `at[b]:at[b + 1]`."""

    program: Program
    arena: np.ndarray
    steps: Walk
    at: np.ndarray
    bucket: np.ndarray  # of each (bucket, state)


def _search(layout: Layout, k: int) -> list[np.ndarray]:
    """The k best configurations of the tree's variables, each of shape (m,)."""
    land = _maximize(layout)
    if land is None:
        return []
    best = _descend(land, np.zeros(len(layout.active), np.int64), len(land.steps.variable), 0.0, k)
    found = [best]
    heap: list[tuple[float, int, int]] = []  # (what it loses, whose change, which)

    def offer(number: int, rank: int) -> None:
        one = found[number]
        if rank < len(one.changes):
            heapq.heappush(heap, (one.loss + one.losses[rank], number, rank))

    offer(0, 0)
    while heap and len(found) < k:
        loss, number, rank = heapq.heappop(heap)
        change = found[number].changes[rank]
        b, x = int(land.bucket[change]), found[number].x.copy()
        x[land.steps.variable[b]] = change - land.at[b]
        offer(number, rank + 1)
        found.append(_descend(land, x, b, loss, k - len(found)))
        offer(len(found) - 1, 0)
    return [one.x for one in found]


def _maximize(layout: Layout) -> _Landscape | None:
    """The pass of maxima; None when every weight is zero."""
    tree, steps = layout.tree, walk(layout.tree)
    arena = np.zeros(tree.arena_size)
    if layout.tables:
        arena[: tree.shifts.start] = np.concatenate([t.ravel() for t in layout.tables])
    block = np.empty(int(tree.program.width.max()) if tree.buckets else 1)
    for first, last in chunks(tree):
        _maxima(tree.program, arena, first, last, block)
    if np.isneginf(arena[tree.program.message[tree.parents < 0]]).any():
        return None
    at = np.concatenate([[0], np.cumsum(steps.states)]).astype(np.int64)
    return _Landscape(tree.program, arena, steps, at, np.repeat(np.arange(len(steps.states)), steps.states))


def _descend(land: _Landscape, x: np.ndarray, below: int, loss: float, k: int) -> _Found:
    """Chooses best for all buckets before `below`, in place; keeps the k cheapest changes there."""
    losses = np.full(land.at[below], np.inf)
    _choose(land.program, land.arena, land.steps, land.at, x, below, losses)
    cheap = np.flatnonzero(losses < np.inf)
    if len(cheap) > k:
        cheap = cheap[np.argpartition(losses[cheap], k)[:k]]
    cheap = cheap[np.argsort(losses[cheap], kind="stable")]
    return _Found(x, loss, cheap, losses[cheap])


@njit(cache=True, nogil=True)
def _maxima(program, arena, first, last, block):
    """The messages μ of buckets first…last−1."""
    for b in range(first, last):
        k, place = program.states[b], program.message[b]
        for h in range(program.cells[b] // program.width[b]):
            fill(program, arena, b, h, block)
            for j in range(0, program.width[b], k):
                top = block[j]
                for x in range(1, k):
                    top = max(top, block[j + x])
                arena[place] = top
                place += 1


@njit(cache=True, nogil=True)
def _choose(program, arena, steps, at, x, below, losses):
    """The best states of buckets below−1…0 given the later ones; what every other state would lose."""
    for b in range(below - 1, -1, -1):
        k, row = steps.states[b], 0
        for t in range(steps.ptr[b], steps.ptr[b + 1]):
            row += steps.stride[t] * x[steps.rest[t]]
        best, top = 0, -np.inf
        for s in range(k):
            value = entry(program, arena, b, row * k + s)
            losses[at[b] + s] = value
            if value > top:
                best, top = s, value
        for s in range(k):
            losses[at[b] + s] = top - losses[at[b] + s]
        losses[at[b] + best] = np.inf  # the one that is taken
        x[steps.variable[b]] = best
