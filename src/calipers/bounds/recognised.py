"""A magnet found in a factor graph: its bounds, and their witnesses, said of the factor graph.

    log f(s, t) = c + a s + b t + J s t        for every factor of the reduced model (models/pairwise.py)

A magnet's witness speaks of couplings and fields; the model's factors hold both. So wherever a witness lists an edge or
has it inside a block, the model's factors are listed, and extra tables take their unary parts a s + b t out again and
put the sites' fields in. **Proves** what the magnet's method does, moved by the constants that reduction took out, and
by what reading couplings off tables may have lost. **Cost** linear. **Fails**, with no witness, for pseudo-marginals
where two factors share a pair.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from calipers.core.answer import Answer, Side, outward
from calipers.core.witness import Bethe, Block, Bucket, Decomposition, Link, LogDeterminant, Tangent, Witness
from calipers.exact.kernels import ULP
from calipers.exact.transfer_matrix import recognition_error
from calipers.models.ising import Ising
from calipers.models.reduction import Reduced

Extra = tuple[tuple[int, ...], np.ndarray]


def about_whole(answers: Iterator[Answer], reduced: Reduced, magnet: Ising) -> Iterator[Answer]:
    """Answers about the magnet that a reduced model is, about the whole model; none when propagation proved Z = 0."""
    if reduced.log_constant == -math.inf:
        return
    lost, lift = reduced.error + recognition_error(reduced.model), Lift(reduced, magnet)

    def moved(side: Side, sign: float) -> Side:
        value = side.value + reduced.log_constant
        error = lost + ULP * (abs(value) + abs(reduced.log_constant))
        return Side(outward(value, error, sign), side.grounds, method=side.method, witness=lift.later(side.witness))

    for a in answers:
        value = None if a.value is None else a.value + reduced.log_constant
        yield Answer(moved(a.lower, -1.0), moved(a.upper, 1.0), value, stats=a.stats)


class Lift:
    """Turns witnesses about a magnet into witnesses about the model whose reduced form it is."""

    def __init__(self, reduced: Reduced, magnet: Ising):
        self.reduced, self.magnet, self.name = reduced, magnet, reduced.variables.tolist()
        self.fields = magnet.beta * np.asarray(magnet.fields)

    def later(self, witness: Any) -> Callable[[], Witness | None] | None:
        """A function that writes the lifted witness; None where there is none to lift."""
        if witness is None:
            return None
        return lambda: self(witness() if callable(witness) else witness)

    def __call__(self, witness: Witness | None) -> Witness | None:
        """The lifted witness; None where it cannot be said of the model's factors."""
        if isinstance(witness, Decomposition):
            return self._decomposition(witness)
        if isinstance(witness, Tangent):
            return Tangent(self.reduced.states, self._blocks(witness.blocks, set()))
        if isinstance(witness, Bethe):
            return self._bethe(witness)
        if isinstance(witness, LogDeterminant):
            return LogDeterminant(self.reduced.states, self._spread(witness.diagonal))
        return None

    @cached_property
    def of(self) -> dict[tuple[int, ...], int]:
        """The factor of the reduced model over each pair or single site."""
        return {scope: a for a, scope in enumerate(self.reduced.model.scopes)}

    @cached_property
    def shares(self) -> list[np.ndarray]:
        """What each factor of the reduced model adds to the fields of its sites."""
        return [_fields(table) for table in self.reduced.model.log_tables()]

    def _edge(self, e: int) -> int:
        """The factor of the reduced model that edge e was read off."""
        return self.of[tuple(self.magnet.edges[e].tolist())]

    def _scope(self, f: int) -> tuple[int, ...]:
        """Sites of the magnet in an original factor, in its own order."""
        return tuple(self.site[v] for v in self.reduced.original.scopes[f] if v in self.site)

    @cached_property
    def site(self) -> dict[int, int]:
        """The site of the magnet that each original variable is."""
        return {v: i for i, v in enumerate(self.name)}

    @cached_property
    def logs(self) -> list[np.ndarray]:
        """Tables of the original factors."""
        return list(self.reduced.original.log_tables())

    def _kept(self, f: int) -> np.ndarray:
        """An original factor on the kept states of the sites in it."""
        scope, states = self.reduced.original.scopes[f], self.reduced.states
        table = self.logs[f][np.ix_(*(states[v] for v in scope))]
        return table.reshape([len(states[v]) for v in scope if v in self.site])

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """Values at sites as values at all original variables, zero elsewhere."""
        out = np.zeros(len(self.reduced.states), np.asarray(values).dtype)
        out[self.reduced.variables] = values
        return out

    def _unary(self, site: int, field: float) -> Extra:
        return (self.name[site],), np.array([field, -field])

    def _named(self, extra: tuple[Extra, ...]) -> list[Extra]:
        return [(tuple(self.name[i] for i in scope), table) for scope, table in extra]

    def _decomposition(self, witness: Decomposition) -> Decomposition:
        """Where an edge is listed its factors are, less their fields; fields are where the site is listed."""
        exact = len({b.variable for b in witness.buckets}) == len(witness.buckets)  # then nothing needs to move
        buckets, e = [], len(self.magnet.edges)
        for bucket in witness.buckets:
            factors: list[int] = []
            extra = [] if exact else self._named(bucket.extra)
            for a in bucket.factors:
                held = self._edge(a) if a < e else self.of.get((a - e,))
                sites = self.magnet.edges[a].tolist() if a < e else [a - e]
                fields = np.zeros(2) if a < e else self.fields[[a - e]]
                if held is not None:
                    factors += self.reduced.members[held]
                    fields = fields[: len(sites)] - self.shares[held]
                extra += [self._unary(i, h) for i, h in zip(sites, fields.tolist(), strict=True) if h and not exact]
            named = self.name[bucket.variable]
            buckets.append(Bucket(named, bucket.weight, tuple(factors), tuple(extra), bucket.parent))
        return Decomposition(self.reduced.states, tuple(buckets))

    def _blocks(self, blocks: tuple[Block, ...], linked: set[int]) -> tuple[Block, ...]:
        """The same trials; `linked` are original factors that belong to no block's."""
        home = {i: b for b, block in enumerate(blocks) for i in block.order}
        fields = self.fields.copy()
        for a, scope in enumerate(self.reduced.model.scopes):
            members = self.reduced.members[a]
            if len({home[i] for i in scope}) == 1 and not linked.intersection(members):
                fields[list(scope)] -= self.shares[a]
                continue
            for f in members:  # a factor of one site that was multiplied into the pair's
                if len(self._scope(f)) == 1:
                    fields[self._scope(f)[0]] -= _fields(self._kept(f))[0]
        return tuple(
            Block(
                tuple(self.name[i] for i in block.order),
                (*self._named(block.extra), *(self._unary(i, fields[i]) for i in block.order if fields[i])),
            )
            for block in blocks
        )

    def _bethe(self, witness: Bethe) -> Bethe | None:
        pairs = [[f for f in members if len(self._scope(f)) == 2] for members in self.reduced.members]
        if any(len(found) > 1 for found in pairs):
            return None
        links = []
        for e, covariance in witness.links:
            (pair,) = pairs[self._edge(e)]
            turned = self._scope(pair) != tuple(self.magnet.edges[e].tolist())
            links.append(Link(pair, covariance.T if turned else covariance))
        blocks = self._blocks(witness.blocks, {link.factor for link in links})
        return Bethe(self.reduced.states, self._spread(witness.flips), blocks, tuple(links))


def _fields(table: np.ndarray) -> np.ndarray:
    """The coefficients a (and b) of c + a s (+ b t + J s t), one for each axis."""
    if table.ndim == 1:
        return np.array([0.5 * (table[0] - table[1])])
    return 0.25 * np.array([(table[0] - table[1]).sum(), (table[:, 0] - table[:, 1]).sum()])
