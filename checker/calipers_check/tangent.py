"""Theorem 1 (docs/theorems.md): the Gibbs–Bogoliubov–Feynman bound of a trial that is independent between blocks.

    log Z ≥ Σ_b log Z_b − Σ_extra ⟨extra⟩_Q + Σ_{f across blocks} ⟨log f⟩_Q + Σ_{f constant} log f

Q = Π_b Q_b, and Q_b ∝ Π_{f inside b} f · Π exp(extra) on the kept states. Z_b and the moments come from bucket
elimination, forwards and backwards; a variable in no block is a block by itself. Zero marginals are exact zeros.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from flint import arb

from calipers_check.decomposition import check_evidence
from calipers_check.errors import Reject
from calipers_check.model import Model, Restricted
from calipers_check.tables import ONE, ZERO, Table, check_cells, expand, from_logs, log, marginal, product, sum_last
from calipers_check.witness import Block, read_blocks


class Tangent:
    """A witness of this kind; what it proves from below."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.restricted, self.blocks = read_blocks(arrays, model)

    def bound(self, side: str) -> arb | float:
        """Encloses the bound on log Z."""
        if side != "lower":
            raise Reject("a tangent bounds log Z from below only")
        check_evidence(self.restricted)
        return float("-inf") if self.restricted.empty else _bound(self.restricted, self.blocks)


def _bound(restricted: Restricted, blocks: list[Block]) -> arb | float:
    home, blocks = _homes(restricted, blocks)
    inside: list[list[int]] = [[] for _ in blocks]
    across, constant = [], ONE
    for a in range(len(restricted.model.scopes)):
        homes = {home[v] for v in restricted.scope(a)}
        if not homes:
            constant *= restricted.factor(a).cells[0]
        elif len(homes) == 1:
            inside[homes.pop()].append(a)
        else:
            across.append(a)
    queries: list[set[tuple[int, ...]]] = [set() for _ in blocks]
    for a in across:
        for b, scope in _parts(restricted.scope(a), home).items():
            queries[b].add(scope)
    parts = [_block(restricted, *row) for row in zip(blocks, inside, queries, strict=True)]
    values = [log(constant), *(value for value, _ in parts)]
    if not any(isinstance(x, float) for x in values):  # else some block has no mass, and no marginals
        marginals = [found for _, found in parts]
        values += [_across(restricted.factor(a), home, marginals, restricted.sizes) for a in across]
    return float("-inf") if any(isinstance(x, float) for x in values) else sum(values, arb(0))


def _homes(restricted: Restricted, blocks: list[Block]) -> tuple[dict[int, int], list[Block]]:
    """The block of each variable; blocks of one variable are added for those that have none."""
    home: dict[int, int] = {}
    for b, block in enumerate(blocks):
        for v in block.order:
            if v in home:
                raise Reject(f"variable {v} stands in two blocks, or twice in one")
            home[v] = b
    blocks = list(blocks)
    for v, size in enumerate(restricted.sizes):
        if v not in home and size > 1:
            home[v] = len(blocks)
            blocks.append(Block([v], []))
    for b, block in enumerate(blocks):
        if any(home.get(v) != b for extra in block.extra for v in extra.scope):
            raise Reject(f"block {b} has an extra table that reaches outside it")
    return home, blocks


def _parts(scope: Iterable[int], home: dict[int, int]) -> dict[int, tuple[int, ...]]:
    """A scope cut into its blocks."""
    parts: dict[int, tuple[int, ...]] = {}
    for v in scope:
        parts[home[v]] = (*parts.get(home[v], ()), v)
    return parts


def _block(
    restricted: Restricted, block: Block, inside: list[int], queries: set[tuple[int, ...]]
) -> tuple[arb | float, dict[tuple[int, ...], Table]]:
    """log Z_b − Σ ⟨extra⟩ of one block, and the marginals over the queried scopes."""
    sizes = restricted.sizes
    extras = [Table(e.scope, from_logs(e.values)) for e in block.extra]
    probes = {scope: Table(scope, [ONE] * check_cells(scope, sizes)) for scope in queries}
    tree = Tree(block.order, [restricted.factor(a) for a in inside] + extras + list(probes.values()), sizes)
    if tree.total.is_zero():
        return float("-inf"), {}
    value = tree.total.log()
    for extra in block.extra:
        found = tree.marginal(extra.scope)
        value -= sum((p * x for p, x in zip(found.cells, extra.values.tolist(), strict=True) if not p.is_zero()), ZERO)
    return value, {scope: tree.marginal(scope) for scope in queries}


def _across(factor: Table, home: dict[int, int], marginals: list[dict], sizes: list[int]) -> arb | float:
    """⟨log f⟩ under the product of block marginals; −inf when Q gives mass to a zero of f."""
    tables = [marginals[b][scope] for b, scope in _parts(factor.scope, home).items()]
    value = ZERO
    for p, f in zip(product(tables, factor.scope, sizes), factor.cells, strict=True):
        if not p.is_zero():
            if f.is_zero():
                return float("-inf")
            value += p * f.log()
    return value


class Clique(NamedTuple):
    """A bucket after the forward pass; its message went to the bucket of the last variable in the message's scope."""

    joint: Table
    message: Table


class Tree:
    """Bucket elimination of one block with whole buckets, and its marginals by the backward pass."""

    def __init__(self, order: list[int], tables: list[Table], sizes: list[int]):
        self.rank = {v: place for place, v in enumerate(order)}
        self.sizes, self.total = sizes, ONE
        self.beliefs: dict[int, Table] = {}
        self.cliques: dict[int, Clique] = {}
        waiting: dict[int, list[Table]] = {}
        for table in tables:
            self._place(table, waiting)
        for v in order:
            self._forward(v, waiting)

    def _place(self, table: Table, waiting: dict[int, list[Table]]) -> None:
        if table.scope:
            waiting.setdefault(min(table.scope, key=self.rank.__getitem__), []).append(table)
        else:
            self.total *= table.cells[0]

    def _forward(self, v: int, waiting: dict[int, list[Table]]) -> None:
        tables = waiting.pop(v, [])
        held = {u for table in tables for u in table.scope} | {v}
        scope = tuple(sorted(held, key=lambda u: -self.rank[u]))
        joint = Table(scope, product(tables, scope, self.sizes))
        message = Table(scope[:-1], sum_last(joint.cells, self.sizes[v]))
        self.cliques[v] = Clique(joint, message)
        self._place(message, waiting)

    def _belief(self, v: int) -> Table:
        """p(x_v | x_S) p(x_S), from the bucket that received the message (iterative: trees are deep)."""
        path = [v]
        while path[-1] not in self.beliefs and self.cliques[path[-1]].message.scope:
            path.append(self.cliques[path[-1]].message.scope[-1])
        for u in reversed(path):
            if u not in self.beliefs:
                self.beliefs[u] = self._backward(u)
        return self.beliefs[v]

    def _backward(self, v: int) -> Table:
        joint, message = self.cliques[v]
        above = [ONE]
        if message.scope:
            above = marginal(self.beliefs[message.scope[-1]], message.scope, self.sizes).cells
        ratio = [ZERO if m.is_zero() else p / m for p, m in zip(above, message.cells, strict=True)]
        spread = expand(Table(message.scope, ratio), joint.scope, self.sizes)
        return Table(joint.scope, [x * y for x, y in zip(joint.cells, spread, strict=True)])

    def marginal(self, scope: tuple[int, ...]) -> Table:
        """Marginal over a scope that one of the tables had."""
        if not scope:
            return Table((), [ONE])
        return marginal(self._belief(min(scope, key=self.rank.__getitem__)), scope, self.sizes)
