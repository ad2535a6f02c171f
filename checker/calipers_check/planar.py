"""Theorem P2 (docs/theorems.md): a magnet drawn on a plane, or on a surface, by Pfaffians of balls.

    Z = 2^c e^{−Σ K⁰} 2^{−r} Σ_ε Pf A_ε,   K⁰_e = K_e s⁰_i s⁰_j,   A: ±1 between darts of a face, ±e^{2K⁰_e} along edges

for c components and r = 2 genus spare edges. A field is an edge to one more site, the ghost: Z = Z_ghost/2. Edges of
the model that are not drawn are summed over, e^{K s s'} = cosh K + s s' sinh K, where the witness says so (Theorem P3:
signs change along a path), and count as an error of |K| otherwise; fields likewise. |∂ log Z/∂K| ≤ 1, so elimination
is done at the middle of each coupling's ball, in as many bits as it takes, and the radii are added at the end; where
a pivot may be zero, as symmetry can make it off the plane, at couplings moved by less than 2⁻⁷⁰, which are added too.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from random import Random
from typing import NamedTuple

import numpy as np
from flint import arb, ctx

from calipers_check.archive import ints, ragged
from calipers_check.drawing import Drawing
from calipers_check.errors import Reject
from calipers_check.kept import Kept
from calipers_check.model import Model
from calipers_check.pfaffian import Singular, tree_pfaffian
from calipers_check.restricted import Restricted

BITS = (128, 256, 512, 1024, 2048)
NARROW = arb(2) ** -60  # relative width of log Z that is narrow enough
MOVE = arb(2) ** -70  # |log Z| changes by less than all of the moves
MOST_TERMS = 2**12
NO_EDGES: set[int] = set()


class Magnet(NamedTuple):
    """log of the weights of spins: constant + Σ couplings[i, j] s_i s_j; fields are couplings to the ghost."""

    constant: arb
    couplings: dict[tuple[int, int], arb]


class Planar:
    """A witness of this kind; what it proves of either side."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.restricted = Restricted(model, ragged(arrays, "kept"))
        self.kept, self.ghost = Kept(self.restricted), len(model.sizes)
        if any(size > 2 for size in self.restricted.sizes):
            raise Reject("the witness keeps more than two states of a variable; a spin has two")
        self.edges, self.rotation = ints(arrays, "edges", 2), ints(arrays, "rotation")
        self.extra, self.order = ints(arrays, "extra", 2), ints(arrays, "order").tolist()
        self.reference = ints(arrays, "reference").tolist()
        if len(self.reference) != self.ghost + 1 or any(s not in (-1, 1) for s in self.reference):
            raise Reject("the witness's reference is not one spin, 1 or -1, for each variable and the ghost")

    def bound(self, side: str) -> arb | float:
        """Encloses log Z, up to the couplings that were left out."""
        if side == "upper":
            if self.kept.certainly_zero():
                return float("-inf")
        else:
            self.restricted.check_evidence()
            if self.restricted.empty:
                return float("-inf")
        value, slack = self.value
        return value + slack if side == "upper" else value - slack

    @cached_property
    def value(self) -> tuple[arb, arb]:
        """log Z on the kept states of a magnet nearby, and how far away the model's may be."""
        magnet, drawing = _magnet(self.restricted, self.ghost), self._drawing()
        left = dict(magnet.couplings)
        K = [left.pop(_pair(e), arb(0)) for e in self.edges.tolist()]
        across = [left.pop(_pair(e), arb(0)) for e in self.extra.tolist()]
        slack = sum((abs(x) for x in left.values()), arb(0)) + sum((x.rad() for x in K + across), arb(0))
        lone = sum(size == 2 for size in self.restricted.sizes) - len(set(drawing.origin) - {self.ghost})
        twos = lone + drawing.components - (self.ghost in drawing.origin)
        middle, moved = self._sum(drawing, [x.mid() for x in K], [x.mid() for x in across])
        return magnet.constant + twos * arb(2).log() + middle, slack + moved

    def _drawing(self) -> Drawing:
        spins = [v for v, size in enumerate(self.restricted.sizes) if size == 2] + [self.ghost]
        known = np.full(self.ghost + 1, -1)
        known[spins] = np.arange(len(spins))
        ends = np.concatenate([self.edges.ravel(), self.extra.ravel()])
        if ((ends < 0) | (ends > self.ghost)).any() or (known[ends] < 0).any():
            raise Reject("the drawing has an edge that ends at no spin")
        return Drawing(self.ghost + 1, self.edges, self.rotation)

    def _sum(self, drawing: Drawing, K: list[arb], across: list[arb]) -> tuple[arb, arb]:
        """log of the sum over the drawing's edges and those across it, at exact couplings, or moved by so much."""
        if 2.0 ** (len(drawing.loops) + len(across)) > MOST_TERMS:
            raise Reject(f"the witness asks for more than {MOST_TERMS} Pfaffians")
        moved = arb(0)
        for bits in BITS:
            try:
                with ctx.workprec(bits):
                    value = self._log_sum(drawing, K, across)
            except Singular:
                if moved == 0:  # off a part of the matrix that is zero for a reason
                    moved = len(K) * MOVE
                    draw = Random(0).random  # not on a line: sums of as many moves must differ too
                    K = [(x + MOVE * arb(draw())).mid() for x in K]
                continue
            if value.is_finite() and value.rad() <= NARROW * (1 + abs(value)):
                return value, moved
        raise Reject(f"the Pfaffian could not be told from zero in {BITS[-1]} bits")

    def _log_sum(self, drawing: Drawing, K: list[arb], across: list[arb]) -> arb:
        s = self.reference
        turned = [x * (s[i] * s[j]) for x, (i, j) in zip(K, self.edges.tolist(), strict=True)]
        long = [(2 * x).exp() for x in turned]
        faces: list[list[int]] = [[] for _ in range(drawing.faces)]
        for h in sorted(range(len(drawing.face)), key=drawing.place.__getitem__):
            faces[drawing.face[h]].append(h)
        total = arb(0)
        for flips, weight in self._terms(drawing, across):
            signs = [-sign if e in flips else sign for e, sign in enumerate(drawing.signs)]
            signed = [x * sign for x, sign in zip(long, signs, strict=True)]
            sign = -1 if signs.count(-1) % 2 else 1
            total += sign * weight * tree_pfaffian(self.order, faces, drawing.face, signed)
        if not total > 0:
            raise Singular
        return total.log() - sum(turned, arb(0)) - len(drawing.loops) * arb(2).log()

    def _terms(self, drawing: Drawing, across: list[arb]) -> Iterator[tuple[set[int], arb]]:
        """Edges whose sign is flipped, and the weight of the term."""
        ends, s = self.extra.tolist(), self.reference
        paths = [drawing.path(i, j) for i, j in ends]
        for chosen in product((False, True), repeat=len(across)):
            weight, flips = arb(1), NO_EDGES
            for there, x, path, (i, j) in zip(chosen, across, paths, ends, strict=True):
                weight *= x.sinh() * (s[i] * s[j]) if there else x.cosh()
                flips = flips ^ path if there else flips
            for turned in product((False, True), repeat=len(drawing.loops)):
                both = flips
                for there, loop in zip(turned, drawing.loops, strict=True):
                    both = both ^ loop if there else both
                yield both, weight


def _pair(edge: list[int]) -> tuple[int, int]:
    return min(edge), max(edge)


def _magnet(restricted: Restricted, ghost: int) -> Magnet:
    """Reads couplings, fields and the constant off the tables; the first kept state is spin +1."""
    constant = arb(0)
    couplings: dict[tuple[int, int], arb] = {}
    for a in range(len(restricted.model.scopes)):
        scope, logs = restricted.scope(a), restricted.logs(a)
        if len(scope) > 2:
            raise Reject(f"factor {a} joins more than two spins")
        finite = [x for x in logs if isinstance(x, arb)]
        if len(finite) < len(logs):
            raise Reject(f"factor {a} has a zero among the kept states")
        for subset, x in _walsh(scope, finite):
            if not subset:
                constant += x
            else:
                pair = _pair([subset[0], subset[1] if len(subset) == 2 else ghost])
                couplings[pair] = couplings.get(pair, arb(0)) + x
    return Magnet(constant, couplings)


def _walsh(scope: tuple[int, ...], logs: list[arb]) -> list[tuple[tuple[int, ...], arb]]:
    """A log table over spins as a polynomial: each product of spins with its coefficient."""
    if not scope:
        return [((), logs[0])]
    if len(scope) == 1:
        up, down = logs
        return [((), (up + down) / 2), (scope, (up - down) / 2)]
    a, b, c, d = logs
    terms = [((), a + b + c + d), (scope[:1], a + b - c - d), (scope[1:], a - b + c - d), (scope, a - b - c + d)]
    return [(subset, x / 4) for subset, x in terms]
