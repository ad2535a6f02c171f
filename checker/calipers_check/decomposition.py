"""Theorems 2 and 3 (docs/theorems.md): weighted mini-bucket elimination from above; exact elimination, both.

Buckets of one variable v stand together; bucket r multiplies whole factors, extra tables and messages into a function
F_r(x_v, x_S), S eliminated later, and sends (Σ_{x_v} F_r^{1/w_r})^{w_r} on. By Hölder the product of these messages
is at least Σ_{x_v} Π_r F_r when w_r > 0 and Σ_r w_r ≥ 1. Factors in no bucket count as their maximum; extra tables must
add up to 0, and what is missing is added. With one bucket a variable, w = 1 and no extra table, all are equalities.
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from flint import arb

from calipers_check.errors import Reject
from calipers_check.model import Model, Restricted, possible_states
from calipers_check.shaving import shave
from calipers_check.tables import ONE, Table, check_cells, expand, from_logs, log, power, product, sum_last
from calipers_check.witness import Bucket, Extra, read_buckets


class Decomposition:
    """A witness of this kind; what it proves of either side."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.model = model
        self.restricted, self.buckets = read_buckets(arrays, model)
        self.rank = _ranks(self.buckets)

    @cached_property
    def sent(self) -> arb:
        """What the buckets send out, and the states of variables in no bucket: the same for both sides."""
        total = _eliminate(self.restricted, self.buckets, self.rank)
        for v, size in enumerate(self.restricted.sizes):
            total = total if v in self.rank else total * size
        return total

    def bound(self, side: str) -> arb | float:
        """Encloses the bound on log Z."""
        if side == "upper":
            left = possible_states(self.model)
            if any(not states.any() for states in left):
                return float("-inf")
            _check_nothing_possible_dropped(self.restricted, left)
        else:
            check_evidence(self.restricted)
            if self.restricted.empty:
                return float("-inf")
            _check_exact(self.buckets)
        value = log(self.sent * _unlisted(self.restricted, self.buckets, side))
        return value if isinstance(value, float) else value + _residual(self.restricted, self.buckets)


def check_evidence(restricted: Restricted) -> None:
    """For a lower bound: every kept configuration must count in the model."""
    for v, state in restricted.model.evidence.items():
        if restricted.kept[v] not in ([state], []):
            raise Reject(f"the witness keeps states of variable {v} that the evidence {v}={state} rules out")


def _check_nothing_possible_dropped(restricted: Restricted, left: list[np.ndarray]) -> None:
    kept = [set(states) for states in restricted.kept]
    doubtful = [(v, s) for v, mark in enumerate(left) for s in np.flatnonzero(mark).tolist() if s not in kept[v]]
    for v, states in enumerate(shave(restricted.model, left, doubtful) if doubtful else left):
        dropped = states.copy()
        dropped[restricted.kept[v]] = False
        if dropped.any():
            raise Reject(f"the witness drops state {int(dropped.argmax())} of variable {v}, which may be possible")


def _check_exact(buckets: list[Bucket]) -> None:
    if len({b.variable for b in buckets}) != len(buckets) or any(b.extra for b in buckets):
        raise Reject("a decomposition bounds from below only when it has one bucket a variable and no extra tables")


def _ranks(buckets: list[Bucket]) -> dict[int, int]:
    """Place of each variable in the elimination order."""
    rank: dict[int, int] = {}
    for place, bucket in enumerate(buckets):
        if bucket.variable in rank and buckets[place - 1].variable != bucket.variable:
            raise Reject(f"the buckets of variable {bucket.variable} do not stand together")
        rank.setdefault(bucket.variable, place)
    return rank


def _weights(buckets: list[Bucket]) -> list[arb]:
    """Positive weights, for each variable at least 1 in all: where that is not certain, the largest takes the slack."""
    members: dict[int, list[int]] = {}
    for place, bucket in enumerate(buckets):
        if not 0 < bucket.weight < float("inf"):
            raise Reject(f"bucket {place} has weight {bucket.weight}; weights are positive")
        members.setdefault(bucket.variable, []).append(place)
    weights = [arb(bucket.weight) for bucket in buckets]
    for places in members.values():
        largest = max(places, key=lambda i: buckets[i].weight)
        slack = 1 - sum((weights[i] for i in places), arb(0))
        if len(places) == 1:
            weights[largest] = ONE
        elif not slack <= 0:
            weights[largest] += slack
    return weights


def _eliminate(restricted: Restricted, buckets: list[Bucket], rank: dict[int, int]) -> arb:
    """Product of all constants that the buckets send out, in their order."""
    weights = _weights(buckets)
    messages: dict[int, list[Table]] = {}
    listed: set[int] = set()
    total = ONE
    for place, bucket in enumerate(buckets):
        if len(listed.intersection(bucket.factors)) + len(bucket.factors) != len(set(bucket.factors)):
            raise Reject(f"bucket {place} lists a factor that is listed already")
        listed.update(bucket.factors)
        tables = [restricted.factor(a) for a in bucket.factors]
        tables += [Table(e.scope, from_logs(e.values)) for e in bucket.extra]
        message = _message(tables + messages.pop(place, []), bucket.variable, weights[place], rank, restricted.sizes)
        if bucket.parent == -1 and not message.scope:
            total *= message.cells[0]
        elif 0 <= bucket.parent < len(buckets) and rank[buckets[bucket.parent].variable] > rank[bucket.variable]:
            messages.setdefault(bucket.parent, []).append(message)
        else:
            raise Reject(f"bucket {place} sends its message to bucket {bucket.parent}, where it would be lost")
    return total


def _message(tables: list[Table], v: int, weight: arb, rank: dict[int, int], sizes: list[int]) -> Table:
    held = {u for table in tables for u in table.scope} | {v}
    for u in held:
        if rank.get(u, -1) < rank[v]:
            raise Reject(f"a bucket of variable {v} holds variable {u}, which is eliminated earlier or never")
    scope = tuple(sorted(held, key=lambda u: -rank[u]))
    cells = product(tables, scope, sizes)
    if weight == 1:
        return Table(scope[:-1], sum_last(cells, sizes[v]))
    return Table(scope[:-1], power(sum_last(power(cells, 1 / weight), sizes[v]), weight))


def _unlisted(restricted: Restricted, buckets: list[Bucket], side: str) -> arb:
    """Factors in no bucket, each at its largest weight (its smallest for a lower bound)."""
    listed = {a for bucket in buckets for a in bucket.factors}
    total = ONE
    for a in range(len(restricted.model.scopes)):
        if a not in listed:
            total *= _extreme(restricted.factor(a).cells, side)
    return total


def _extreme(cells: Iterable[arb], side: str) -> arb:
    first, *rest = cells
    for cell in rest:
        first = first.max(cell) if side == "upper" else first.min(cell)
    return first


def _residual(restricted: Restricted, buckets: list[Bucket]) -> arb:
    """Σ over scopes of max(−Σ extra tables): log Z of the model is at most log Z of the shifted model plus this."""
    groups: dict[tuple[int, ...], list[Extra]] = {}
    for bucket in buckets:
        for extra in bucket.extra:
            groups.setdefault(tuple(sorted(extra.scope)), []).append(extra)
    return sum((_missing(restricted, scope, extras) for scope, extras in groups.items()), arb(0))


def _missing(restricted: Restricted, scope: tuple[int, ...], extras: list[Extra]) -> arb:
    """max(−Σ) over the states of one scope, leaving out those that the model's own zeros rule out."""
    count = check_cells(scope, restricted.sizes)
    total, dead = [arb(0)] * count, np.zeros(count, bool)
    for extra in extras:
        values = Table(extra.scope, extra.values.tolist())
        spread = expand(values, scope, restricted.sizes)
        dead |= np.array([y == -np.inf for y in spread], bool)
        total = [x - y for x, y in zip(total, spread, strict=True)]
    if dead.any() and (dead & ~_impossible(restricted, scope)).any():
        raise Reject(f"extra tables forbid a state of variables {scope} that the model allows")
    return _extreme((x for x, gone in zip(total, dead, strict=True) if not gone), "upper") if not dead.all() else arb(0)


def _impossible(restricted: Restricted, scope: tuple[int, ...]) -> np.ndarray:
    """States of `scope` that, on the scope of some factor around it, agree only with zeros of factors inside; flat."""
    found = np.zeros(check_cells(scope, restricted.sizes), bool)
    for held in {restricted.scope(a) for v in scope for a in restricted.touching.get(v, [])}:
        inner = tuple(v for v in held if v in scope)
        zeros = _zeros_inside(restricted, held).reshape([restricted.sizes[v] for v in held])
        always = np.all(zeros, axis=tuple(i for i, v in enumerate(held) if v not in scope))
        found |= np.array(expand(Table(inner, always.ravel().tolist()), scope, restricted.sizes), bool)
    return found


def _zeros_inside(restricted: Restricted, scope: tuple[int, ...]) -> np.ndarray:
    """States of `scope` to which some factor inside it gives weight zero, flat."""
    found = np.zeros(check_cells(scope, restricted.sizes), bool)
    for a in {a for v in scope for a in restricted.touching.get(v, [])}:
        inner = restricted.scope(a)
        if set(inner) <= set(scope):
            found |= np.array(expand(Table(inner, restricted.zeros(a).tolist()), scope, restricted.sizes), bool)
    return found
