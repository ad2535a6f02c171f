"""Theorems 2 and 3 (docs/theorems.md): weighted mini-bucket elimination from above; exact elimination, both.

Buckets of one variable v stand together; bucket r multiplies whole factors, extra tables and messages into a function
F_r(x_v, x_S), S eliminated later, and sends (Σ_{x_v} F_r^{1/w_r})^{w_r} on. By Hölder the product of these messages
is at least Σ_{x_v} Π_r F_r when w_r > 0 and Σ_r w_r ≥ 1. Factors in no bucket count as their maximum; extra tables must
add up to 0, and what is missing is added. With one bucket a variable, w = 1 and no extra table, all are equalities.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from flint import arb

from calipers_check.errors import Reject
from calipers_check.kept import Kept
from calipers_check.model import Model
from calipers_check.restricted import NOWHERE, Restricted, cut
from calipers_check.tables import ONE, ZERO, Table, check_cells, expand, from_logs, log, power, product, spend, sum_last
from calipers_check.witness import Bucket, Extra, read_buckets


class Decomposition:
    """A witness of this kind; what it proves of either side, of all of Z or of its part at a `path` (Theorem 5).

    Runs at one path after another compute only those buckets anew that a variable with another state reaches.
    """

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.restricted, self.buckets = read_buckets(arrays, model)
        self.kept = Kept(self.restricted)
        self.rank, self.weights = _ranks(self.buckets), _weights(self.buckets)
        listed = [a for bucket in self.buckets for a in bucket.factors]
        if len(set(listed)) != len(listed):
            raise Reject("a bucket lists a factor that is listed already")
        self.unlisted = sorted(set(range(len(model.scopes))) - set(listed))
        self.sends: list[Table | None] = [None] * len(self.buckets)
        self.at: Mapping[int, int] | None = None  # the path that `sends` is about
        self.watched: set[int] = set()  # variables of which `seen` keeps what the buckets multiply and send at the root
        self.residuals: dict[str, arb] = {}
        self.seen: dict[int, list[tuple[Table, Table]]] = {}

    def bound(self, side: str, path: Mapping[int, int] = NOWHERE, sent: arb | None = None) -> arb | float:
        """Encloses the bound on log Z at `path`; `sent`, if the other side has computed it."""
        restricted = self.restricted.narrowed(path)
        if side == "upper":
            if self.kept.certainly_zero(path):
                return float("-inf")
        else:
            restricted.check_evidence()
            self._check_exact()
            if restricted.empty:
                return float("-inf")
        if sent is None:
            sent = self.sent(path) if path else self.root_sent
        value = log(sent * self._left_out(restricted, side))
        return value if isinstance(value, float) else value + self.residual("upper")

    def total(self, side: str) -> arb:
        """What is left at the root before `residual`: the bound from above, when `side` is, else a part of it."""
        return self.root_sent * self._left_out(self.restricted, side)

    def _left_out(self, restricted: Restricted, side: str) -> arb:
        """The product of the factors in no bucket, each at its extreme."""
        total = ONE
        spend(16 * len(self.unlisted))
        for a in self.unlisted:
            total *= _extreme(restricted.factor(a).cells, side)
        return total

    def sent(self, path: Mapping[int, int] = NOWHERE) -> arb:
        """What the buckets send out, and the states of variables in no bucket: the same for both sides."""
        restricted = self.restricted.narrowed(path)
        if restricted.empty:
            return ZERO
        spend(len(self.buckets))
        stale, self.at = self._stale(path), None
        for place in stale:
            self.sends[place] = self._send(place, restricted, path)
            for child in () if path else self.children[place]:
                sent = self.sends[child]
                if sent is not None and sent.scope:
                    self.sends[child] = None  # read once; memory matters
        total = ONE
        for message in self.sends:
            if message is not None and not message.scope:
                total *= message.cells[0]
        for v in self.free:
            total *= restricted.sizes[v]
        self.at = path or None
        return total

    @cached_property
    def root_sent(self) -> arb:
        """What the buckets send out at the root."""
        return self.sent()

    def _send(self, place: int, restricted: Restricted, path: Mapping[int, int]) -> Table:
        """The message of one bucket."""
        bucket = self.buckets[place]
        tables = [restricted.factor(a) for a in bucket.factors]
        for extra in bucket.extra:
            scope, values = cut(extra.scope, extra.values, self.restricted, path)
            tables.append(Table(scope, from_logs(values)))
        received = [self.sends[child] for child in self.children[place]]
        tables += [table for table in received if table is not None and table.scope]
        joint = _joint(tables, bucket.variable, self.rank, restricted.sizes)
        message = _message(joint, self.weights[place], restricted.sizes)
        if bucket.variable in self.watched and not path:
            self.seen.setdefault(bucket.variable, []).append((joint, message))
        known = 0 <= bucket.parent < len(self.buckets)
        if message.scope and not (known and self._rank_of(bucket.parent) > self.rank[bucket.variable]):
            raise Reject(f"bucket {place} sends its message to bucket {bucket.parent}, where it would be lost")
        return message

    def _rank_of(self, place: int) -> int:
        return self.rank[self.buckets[place].variable]

    @cached_property
    def children(self) -> list[list[int]]:
        """The buckets whose messages each bucket receives."""
        found: list[list[int]] = [[] for _ in self.buckets]
        for place, bucket in enumerate(self.buckets):
            if 0 <= bucket.parent < len(found):
                found[bucket.parent].append(place)
        return found

    @cached_property
    def free(self) -> list[int]:
        """Variables in no bucket."""
        return [v for v in range(len(self.restricted.sizes)) if v not in self.rank]

    @cached_property
    def touched(self) -> dict[int, list[int]]:
        """The buckets that a variable occurs in, before messages."""
        found: dict[int, list[int]] = {}
        for place, bucket in enumerate(self.buckets):
            scopes = [self.restricted.scope(a) for a in bucket.factors] + [extra.scope for extra in bucket.extra]
            for v in {bucket.variable}.union(*scopes):
                found.setdefault(v, []).append(place)
        return found

    def _stale(self, path: Mapping[int, int]) -> Iterable[int]:
        """The buckets to be computed: all, or those that feel that the path is another than before."""
        if not path or self.at is None:
            return range(len(self.buckets))
        stale: set[int] = set()
        for v in path.keys() | self.at.keys():
            if path.get(v) != self.at.get(v):
                for place in self.touched.get(v, ()):
                    while 0 <= place < len(self.buckets) and place not in stale:
                        stale.add(place)
                        place = self.buckets[place].parent
        return sorted(stale)

    def _check_exact(self) -> None:
        if len(self.rank) != len(self.buckets) or any(bucket.extra for bucket in self.buckets):
            raise Reject("a decomposition bounds from below only when it has one bucket a variable and no extra tables")

    def residual(self, side: str) -> arb:
        """Σ over scopes of max(−Σ extra tables): log Z is at most log Z of the shifted model plus this, at any path.

        From below, of the minima: log Z is at least that much plus log Z of the shifted model.
        """
        if side not in self.residuals:
            self.residuals[side] = self._residual(side)
        return self.residuals[side]

    def _residual(self, side: str) -> arb:
        groups: dict[tuple[int, ...], list[Extra]] = {}
        for bucket in self.buckets:
            for extra in bucket.extra:
                groups.setdefault(tuple(sorted(extra.scope)), []).append(extra)
        return sum((_missing(self.restricted, scope, extras, side) for scope, extras in groups.items()), arb(0))


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


def _joint(tables: list[Table], v: int, rank: dict[int, int], sizes: list[int]) -> Table:
    """The product in a bucket of variable v, which stands last in its scope."""
    held, first = {v}.union(*[table.scope for table in tables]), rank[v]
    for u in held:
        if rank.get(u, -1) < first:
            raise Reject(f"a bucket of variable {v} holds variable {u}, which is eliminated earlier or never")
    scope = tuple(sorted(held, key=rank.__getitem__, reverse=True))
    return Table(scope, product(tables, scope, sizes))


def _message(joint: Table, weight: arb, sizes: list[int]) -> Table:
    """The power sum over the last variable of the scope."""
    (*rest, v), cells = joint
    if weight == 1:
        return Table(tuple(rest), sum_last(cells, sizes[v]))
    return Table(tuple(rest), power(sum_last(power(cells, 1 / weight), sizes[v]), weight))


def _extreme(cells: Iterable[arb], side: str) -> arb:
    first, *rest = cells
    for cell in rest:
        first = first.max(cell) if side == "upper" else first.min(cell)
    return first


def _missing(restricted: Restricted, scope: tuple[int, ...], extras: list[Extra], side: str) -> arb:
    """max(−Σ), from below min(−Σ), over the states of one scope, less those that the model's own zeros rule out."""
    count = check_cells(scope, restricted.sizes)
    total, dead = [arb(0)] * count, np.zeros(count, bool)
    for extra in extras:
        spread = expand(extra.scope, extra.values, scope, restricted.sizes)
        dead |= np.array([y == -np.inf for y in spread], bool)
        total = [x - y for x, y in zip(total, spread, strict=True)]
    if dead.any() and (dead & ~_impossible(restricted, scope)).any():
        raise Reject(f"extra tables forbid a state of variables {scope} that the model allows")
    return _extreme((x for x, gone in zip(total, dead, strict=True) if not gone), side) if not dead.all() else arb(0)


def _impossible(restricted: Restricted, scope: tuple[int, ...]) -> np.ndarray:
    """States of `scope` that, on the scope of some factor around it, agree only with zeros of factors inside; flat."""
    found = np.zeros(check_cells(scope, restricted.sizes), bool)
    for held in {restricted.scope(a) for v in scope for a in restricted.touching.get(v, [])}:
        inner = tuple(v for v in held if v in scope)
        zeros = _zeros_inside(restricted, held).reshape([restricted.sizes[v] for v in held])
        zeros = np.asarray(zeros.all(axis=tuple(i for i, v in enumerate(held) if v not in scope)))
        found |= np.array(expand(inner, zeros.ravel().tolist(), scope, restricted.sizes), bool)
    return found


def _zeros_inside(restricted: Restricted, scope: tuple[int, ...]) -> np.ndarray:
    """States of `scope` to which some factor inside it gives weight zero, flat."""
    found = np.zeros(check_cells(scope, restricted.sizes), bool)
    for a in {a for v in scope for a in restricted.touching.get(v, [])}:
        inner = restricted.scope(a)
        if set(inner) <= set(scope):
            found |= np.array(expand(inner, restricted.zeros(a).tolist(), scope, restricted.sizes), bool)
    return found
