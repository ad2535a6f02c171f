"""Best-first search over mini-bucket bounds: a bracket whose two sides meet if it runs long enough.

    Σ exact masses of whole assignments ≤ Z ≤ the same + Σ over open prefixes of the mini-bucket bounds on their masses

Variables are assigned against the elimination order, the heaviest prefix first (frontier.py); only variables that feed
split buckets are assigned, the rest is summed out exactly. **Proves** both sides at any moment. **Cost** about a
microsecond a prefix and assigned variable's mini-bucket; memory for open prefixes is bounded. **Fails** to close where
the mass is spread over many more than 10⁷ assignments: the upper side then gains little, the lower next to nothing.
**Source** Lou, Dechter & Ihler, *Anytime anyspace AND/OR search for bounding the partition function* (AAAI 2017).
"""

import math
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.frontier import Frontier, cells, needed
from calipers.bounds.mini_bucket import MiniBucket, snapshot
from calipers.bounds.search_witness import Searched, search_witness
from calipers.bounds.sweeps import build_tree, optimised, prepare
from calipers.bounds.tournament import best_of
from calipers.core.answer import Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.bucket_tree import SECONDS_PER_LOG_CELL, Run
from calipers.exact.elimination import impossible
from calipers.exact.kernels import ULP
from calipers.exact.probing import sharpened
from calipers.models.factor_graph import FactorGraph
from calipers.models.reduction import Reduced, components

_EXPANSIONS = 20_000  # between two looks at the clock and the signals, to begin with
_SEARCH_FIRST = 0.3  # seconds of search before larger tables are thought of


class Search(AbstractMethod):
    """Best-first search over the bounds of mini-buckets.

    **Arguments:** `ibound`, log2 of the entries of the largest message, or None to grow it while time and memory last;
    `sweeps`, improvements of the mini-buckets before the search; `orders`, greedy elimination orders to try.

    **Proves** both sides; they meet when the search ends.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    ibound: int | None = None
    sweeps: int = 20
    orders: int = 6

    def __check_init__(self) -> None:
        MiniBucket(self.ibound, self.sweeps, self.orders)  # raises for what would not do

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model; orders are tried and trees built one size at a time."""
        reduced = sharpened(model, limits)
        size = "growing" if self.ibound is None else f"2^{self.ibound + 1}"
        text = f"Best-first search over mini-buckets of {reduced.model.n} variables, {size} tables."
        return Plan(text, reduced, limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Mini-bucket bounds of growing size, each followed by a search; the last search runs until it ends."""
        reduced, limits = plan.structure, plan.limits
        if reduced.log_constant == -math.inf:
            yield impossible(reduced, repr(self), plan)
            return
        begun = time.monotonic()
        order = best_of(reduced, self.orders, self.ibound, limits)
        ibound = self.ibound if self.ibound is not None else 4
        while True:
            method = MiniBucket(ibound, self.sweeps, self.orders)
            run = prepare(reduced, order, ibound)
            value = optimised(run, self.sweeps)
            yield method.answer(reduced, run, value, self.sweeps, plan)
            if not run.tree.split or value == -math.inf:
                return
            spent = time.monotonic() - begun
            larger = None if self.ibound is not None else self._larger(reduced, order, ibound, spent, limits)
            until = math.inf if larger is None else time.monotonic() + max(_SEARCH_FIRST, spent)
            yield from self._search(reduced, run, value, ibound, until, plan)
            if larger is None:
                return
            ibound = larger

    def _larger(self, reduced: Reduced, order: np.ndarray, ibound: int, spent: float, limits: Limits) -> int | None:
        """The next i-bound, if its tables fit the memory and a third of the time left."""
        tree = build_tree(reduced, order, ibound + 3)
        seconds = 3.0 * (self.sweeps + 1) * tree.cells * SECONDS_PER_LOG_CELL
        fits = 2.0 * tree.bytes + 8.0 * tree.cells < 0.7 * limits.memory and seconds < limits.seconds_left() / 3.0
        return ibound + 3 if fits else None

    def _search(
        self, reduced: Reduced, run: Run, value: float, ibound: int, until: float, plan: Plan
    ) -> Iterator[Answer]:
        """The bracket whenever it has moved, until the search is done or `until` has come."""
        searched, constant = self._frontiers(reduced, run, plan.limits)
        frontiers, bounds = [s.frontier for s in searched], snapshot(reduced, run)
        name, count = repr(Search(ibound, self.sweeps, self.orders)), _EXPANSIONS
        while frontiers and time.monotonic() < until:
            gaps = [f.gap for f in frontiers]
            widest = frontiers[int(np.argmax(gaps))]
            widest.grow(count)
            count = min(max(count, widest.open // 8), 1 << 20)
            proof = search_witness(reduced, searched, bounds)
            yield joined(reduced, frontiers, constant, run.error, name, {"ibound": ibound}, plan, (proof, proof))
            if all(f.done for f in frontiers):
                return

    def _frontiers(self, reduced: Reduced, run: Run, limits: Limits) -> tuple[list[Searched], float]:
        """A frontier for every component that was split, and log Z of the others."""
        chosen = needed(run)
        memory = 0.5 * limits.memory - 8.0 * cells(run, chosen)
        found, constant = [], 0.0
        owner = np.array([b.variable for b in run.tree.buckets], np.int64)
        for part in components(reduced):
            inside = np.zeros(len(chosen), bool)
            inside[part] = True
            bound = math.fsum(run.shed[inside[owner]])
            if not (inside & chosen).any():
                constant += bound
                continue
            halved = unchanged_by_flips(reduced.model, inside)
            share = min(max(memory * len(part) / len(chosen), 1e6), 2e9)
            frontier = Frontier(run, inside & chosen, bound, memory=share, halved=halved)
            found.append(Searched(frontier, part if halved else part[:0]))
        return found, constant


def unchanged_by_flips(model: FactorGraph, inside: np.ndarray) -> bool:
    """Whether all variables of `inside` have two states, and flipping all of them changes no table, exactly."""
    if any(k != 2 for k, mine in zip(model.sizes, inside, strict=True) if mine):
        return False
    own = (t for s, t in zip(model.scopes, model.tables, strict=True) if inside[s[0]])
    return all(np.array_equal(t, np.flip(t)) for t in own)


def joined(
    reduced: Reduced,
    frontiers: list[Frontier],
    constant: float,
    error: float,
    name: str,
    stats: dict,
    plan: Plan,
    witnesses: tuple[Any, Any] = (None, None),
) -> Answer:
    """The answer that the brackets of all components make, `constant` and its rounding `error` added."""
    lows, highs = zip(*(f.bracket() for f in frontiers), strict=True)
    rest = constant + reduced.log_constant
    low, high = math.fsum([rest, *lows]), math.fsum([rest, *highs])
    slack = error + reduced.error + ULP * (abs(rest) + abs(high))
    counts = {"leaves": sum(f.leaves for f in frontiers), "open": sum(f.open for f in frontiers)}
    exact = all(f.closed for f in frontiers)
    grounds = Grounds.EXACT if exact else Grounds.COMPUTED
    lower = Side(outward(low, slack, -1.0), grounds, method=name, witness=witnesses[0])
    if low == -math.inf and not exact:
        lower = Answer().lower
    upper = Side(outward(high, slack, 1.0), grounds, method=name, witness=witnesses[1])
    value = 0.5 * (low + high) if exact and math.isfinite(low) else (low if exact else None)
    return Answer(lower, upper, value=value, stats=stats | counts, plan=plan)
