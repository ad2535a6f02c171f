"""A trial that is independent between blocks: log Z_b, the means of extra tables, and marginals, exactly.

Q = Π_b Q_b, and Q_b ∝ Π_{f inside b} f · Π exp(extra) on the kept states. Z_b and the marginals come from bucket
elimination, forwards and backwards (Theorem 1, last paragraph); a variable in no block is a block by itself. Zero
marginals are exact zeros. Both `tangent.py` and `bethe.py` stand on this.
"""

from collections.abc import Container, Iterable
from operator import mul
from typing import NamedTuple

from flint import arb

from calipers_check.errors import Reject
from calipers_check.restricted import Restricted
from calipers_check.tables import ONE, ZERO, Table, check_cells, expand, from_logs, log, marginal, product, sum_last
from calipers_check.witness import Block


class Trial:
    """Which factors lie where: `inside[b]` those of block b, `across` the others; `constant`, those of no variable.

    Factors that are to be left out of their block are named by `outside`; they count as across.
    """

    def __init__(self, restricted: Restricted, blocks: list[Block], outside: Container[int] = ()):
        self.restricted = restricted
        self.home, self.blocks = _homes(restricted, blocks)
        self.inside: list[list[int]] = [[] for _ in self.blocks]
        self.across: list[int] = []
        self.constant, home = ONE, self.home
        for a in range(len(restricted.model.scopes)):
            homes = {home[v] for v in restricted.scope(a)}
            if not homes:
                self.constant *= restricted.factor(a).cells[0]
            elif len(homes) == 1 and a not in outside:
                self.inside[homes.pop()].append(a)
            else:
                self.across.append(a)

    def parts(self, scope: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """A scope cut into its blocks."""
        parts: dict[int, tuple[int, ...]] = {}
        for v in scope:
            b = self.home[v]
            parts[b] = (*parts[b], v) if b in parts else (v,)
        return parts

    def solve(self, queries: Iterable[tuple[int, ...]]) -> tuple[list[arb | float], dict[tuple[int, ...], Table]]:
        """log of the constants and log Z_b − Σ ⟨extra⟩ of each block; the marginals over scopes inside blocks.

        When a block has no mass its value is −inf, and marginals are missing.
        """
        asked: list[set[tuple[int, ...]]] = [set() for _ in self.blocks]
        for scope in queries:
            asked[self.home[scope[0]]].add(scope)
        values, marginals = [log(self.constant)], {}
        for block, inside, scopes in zip(self.blocks, self.inside, asked, strict=True):
            value, found = _block(self.restricted, block, inside, scopes)
            values.append(value)
            marginals.update(found)
        return values, marginals


def total(values: list[arb | float]) -> arb | float:
    """Sum of balls and −inf."""
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


def _block(
    restricted: Restricted, block: Block, inside: list[int], queries: set[tuple[int, ...]]
) -> tuple[arb | float, dict[tuple[int, ...], Table]]:
    """log Z_b − Σ ⟨extra⟩ of one block, and the marginals over the queried scopes."""
    sizes = restricted.sizes
    extras = [Table(e.scope, from_logs(e.values)) for e in block.extra]
    probes = [Table(scope, [ONE] * check_cells(scope, sizes)) for scope in sorted(queries) if len(scope) > 1]
    tree = Tree(block.order, [restricted.factor(a) for a in inside] + extras + probes, sizes)
    if tree.total.is_zero():
        return float("-inf"), {}
    value = tree.total.log()
    for extra in block.extra:
        found = tree.marginal(extra.scope)
        value -= sum((p * x for p, x in zip(found.cells, extra.values, strict=True) if not p.is_zero()), ZERO)
    return value, {scope: tree.marginal(scope) for scope in queries}


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
        held = {v}.union(*(table.scope for table in tables))
        scope = tuple(sorted(held, key=self.rank.__getitem__, reverse=True))
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
        spread = expand(message.scope, ratio, joint.scope, self.sizes)
        return Table(joint.scope, list(map(mul, joint.cells, spread)))

    def marginal(self, scope: tuple[int, ...]) -> Table:
        """Marginal over one variable, or over a scope that one of the tables had."""
        if not scope:
            return Table((), [ONE])
        return marginal(self._belief(min(scope, key=self.rank.__getitem__)), scope, self.sizes)
