"""Marginals of the parts of a clamped model, added up over the parts that a search has done.

With E the mass of the done parts, E_s what of it has x_i = s, and O a bound on the mass of the open ones,

    E_s / (E + O)  ≤  p(x_i = s)  ≤  (E_s + O) / (E + O),

because the open mass o ≤ O may lie anywhere: (E_s + o_s)/(E + o) with 0 ≤ o_s ≤ o falls with o at o_s = 0 and rises
with it at o_s = o. **Proves** both sides, at any moment (docs/theorems.md, Theorem 10). **Cost** each part is
eliminated forwards and backwards.
"""

import math

import numpy as np

from calipers.bounds.cutset import Cutset
from calipers.exact.bucket_tree import BucketTree
from calipers.models.factor_graph import FactorGraph


class PartMarginals:
    """Evaluates assignments of a cutset, and keeps the sum of masses and of masses times marginals.

    **Arguments:** `model`; `cutset`. `log_masses` is what a `Frontier` asks; `share(open, error)` gives the bounds.
    """

    def __init__(self, model: FactorGraph, cutset: Cutset):
        self.model, self.cutset = model, cutset
        self._logs = model.log_tables()
        place = np.full(model.n, -1, np.int64)
        place[cutset.order] = np.arange(len(cutset.order))
        free = [[i for i, v in enumerate(s) if place[v] >= 0] for s in model.scopes]
        self._inside = [a for a, axes in enumerate(free) if axes]
        self._outside = [a for a, axes in enumerate(free) if not axes]
        scopes = [tuple(int(place[model.scopes[a][i]]) for i in free[a]) for a in self._inside]
        probes: list[tuple[int, ...]] = [(i,) for i in range(len(cutset.order))]
        sizes = model.domains[cutset.order]
        self._tree = BucketTree.build(sizes, scopes + probes, np.arange(len(sizes)))
        self._probes = [np.zeros(int(k)) for k in sizes]
        self.error = 0.0
        self.scale, self.total = -math.inf, 0.0
        self.sums = [np.zeros(k) for k in model.sizes]

    def log_masses(self, assignments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log masses of the rows of `assignments`; nothing is lost to rounding to zero, all is in log space."""
        values = np.array([self._add(row) for row in assignments.astype(np.int64)])
        return values, np.full(len(values), -np.inf)

    def _add(self, row: np.ndarray) -> float:
        chosen = dict(zip(self.cutset.variables.tolist(), row.tolist(), strict=True))
        pick = [self._logs[a][tuple(chosen.get(v, slice(None)) for v in s)] for a, s in enumerate(self.model.scopes)]
        constant = math.fsum(float(pick[a]) for a in self._outside)
        if constant == -math.inf:
            return -math.inf
        run = self._tree.run([np.asarray(pick[a]) for a in self._inside] + self._probes)
        value = run.forward() + constant
        if value == -math.inf:
            return value
        run.backward()
        self.error = max(self.error, 4.0 * run.error + 2.0**-50 * (abs(constant) + 1.0))
        found = dict(zip(self.cutset.order.tolist(), run.marginals()[len(self._inside) :], strict=True))
        self._weigh(value, found | {v: np.eye(self.model.sizes[v])[x] for v, x in chosen.items()})
        return value

    def _weigh(self, value: float, marginals: dict[int, np.ndarray]) -> None:
        """Adds exp(value) times the marginals."""
        if value > self.scale:
            shrink = math.exp(self.scale - value) if self.total > 0.0 else 0.0
            self.scale, self.total = value, self.total * shrink
            for held in self.sums:
                held *= shrink
        weight = math.exp(value - self.scale)
        self.total += weight
        for v, marginal in marginals.items():
            self.sums[v] += weight * marginal

    def shares(self, above: float, copies: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Lower and upper bounds on the marginals of the model's variables.

        **Arguments:** `above`, the log of an upper bound on the whole mass, rounding included; `copies`, 2 when every
        part stands for its mirror image too: marginals are then averaged with their mirror images.
        """
        if self.total == 0.0:
            return [np.zeros(k) for k in self.model.sizes], [np.ones(k) for k in self.model.sizes]
        sums = [0.5 * (s + s[::-1]) for s in self.sums] if copies == 2 else self.sums
        whole = math.exp(min(above - self.scale - math.log(copies), 700.0))
        over, slack = max(whole - self.total, 0.0), 4.0 * math.expm1(self.error) + 1e-14
        low = [np.clip(s / whole * (1.0 - slack) - slack, 0.0, 1.0) for s in sums]
        high = [np.clip((s + over) / whole * (1.0 + slack) + slack, 0.0, 1.0) for s in sums]
        return low, high
