"""Clamping: the model in parts, one for each assignment of a few variables; each part exact by elimination.

    Σ over done parts of Z(c)  ≤  Z = Σ_c Z(c)  ≤  the same + Σ over open groups of parts of their bounds

The clamped variables are a cutset: with them fixed, elimination needs tables of at most 2^leaf_log2_size entries.
Groups of parts share a prefix of the assignment; mini-buckets along an order that eliminates the cutset last bound
every group, and the heaviest is refined first (frontier.py). When flipping all spins changes nothing, half of the parts
are left out. **Proves** both sides (docs/theorems.md, Theorems 9, 12); they meet given time. **Cost** the tables of a
part, for as many parts as hold the mass. **Fails** to close where cutsets are large: the lower side is then that of the
heaviest parts or the tangent's, the upper the mini-buckets'.
**Source** Pearl, *Probabilistic Reasoning* (1988) §4.4.2; Weller & Jebara, *Clamping variables* (2014).
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from calipers.bounds.cutset import Conditioner, Cutset, choose
from calipers.bounds.frontier import Frontier
from calipers.bounds.guidance import beliefs, entropies
from calipers.bounds.mini_bucket import MiniBucket, snapshot
from calipers.bounds.search import joined, unchanged_by_flips
from calipers.bounds.search_witness import Searched, part_reduced, rest_witness, search_witness, together
from calipers.bounds.sweeps import optimised
from calipers.bounds.tangent import Tangent
from calipers.core.answer import Answer, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Decomposition
from calipers.exact.bucket_tree import BucketTree, Run
from calipers.exact.elimination import checkable, impossible
from calipers.exact.probing import sharpened
from calipers.models.factor_graph import FactorGraph
from calipers.models.propagation import flatten
from calipers.models.reduction import Reduced, components, restrict

_SECONDS_PER_CELL = 4e-9  # of a part's elimination
_BATCH_SECONDS = 0.1  # of parts evaluated in one call
_EXPANSIONS = 20_000
_SHARES = (0.1, 0.3)  # of the time left, before parts grow
_PART = 0.01
_DOUBTFUL = 100  # dropped states that are looked at one by one

Part = tuple[FactorGraph, Cutset]
Looked = tuple[Run, Frontier | None]


class Clamping(AbstractMethod):
    """Parts of the state space, each summed exactly; the heaviest open group of parts is split first.

    **Arguments:** `leaf_log2_size`, log2 of the entries of the largest table of a part, or None to let parts and
    `upper.ibound` grow: 12, 16, 20, as long as a part takes a small share of the time; `upper`, whose `ibound` and
    `sweeps` shape the bounds on open groups; `lower`, a method that bounds the whole model from below first.

    **Proves** both sides; they meet when all parts are done.
    """

    proves: ClassVar[Proves] = Proves.BOTH
    leaf_log2_size: int | None = None
    upper: MiniBucket = MiniBucket(ibound=12, sweeps=10, orders=1)
    lower: AbstractMethod = Tangent(width=6, starts=1, sweeps=10)

    def __check_init__(self) -> None:
        if self.leaf_log2_size is not None and self.leaf_log2_size < 1:
            raise ValueError(f"leaf_log2_size is {self.leaf_log2_size}; give log2 of a table size, 1 or more")
        if self.upper.ibound is None:
            raise ValueError("upper.ibound is None; clamping needs a fixed size, for example MiniBucket(ibound=12)")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Reduces the model and chooses a cutset for each component."""
        reduced = sharpened(model, limits, backbone=True)
        entropy = entropies(beliefs(reduced))
        first = self._stages()[0]
        parts = _parts(reduced, entropy, first.leaf_log2_size)
        states, cells = (max((cut[i] for _, cut in parts), default=0.0) for i in (2, 3))
        text = (
            f"Clamp {sum(len(cut.variables) for _, cut in parts)} of {reduced.model.n} variables: at most "
            f"2^{states:.1f} parts, 2^{cells:.1f} table entries each{', to begin with' * (first is not self)}."
        )
        return Plan(text, (reduced, entropy, parts), limits=limits)

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """First what `lower` says of the whole model, then the bracket whenever it has moved."""
        reduced, entropy, parts = plan.structure
        limits = plan.limits
        if reduced.log_constant == -math.inf:
            yield impossible(reduced, repr(self), plan)
            return
        if any(len(cut.variables) for _, cut in parts):
            yield from _sides_only(self.lower.answers(reduced, self.lower.plan(reduced, limits)))
        stages = self._stages()
        for number, method in enumerate(stages):
            until = time.monotonic() + (
                _SHARES[number] * limits.seconds_left() if number < len(stages) - 1 else math.inf
            )
            larger = None
            for answer in method._parts_of(reduced, parts, plan):
                yield answer
                if answer.exact:
                    return
                if time.monotonic() > until:
                    larger = _parts(reduced, entropy, stages[number + 1].leaf_log2_size)
                    if _fit(larger, limits):
                        break
                    until, larger = math.inf, None
            if larger is None:
                return
            parts = larger

    def _stages(self) -> "list[Clamping]":
        """Itself, or ever larger ones."""
        if self.leaf_log2_size is not None:
            return [self]
        ibound = self.upper.ibound
        assert ibound is not None
        sizes = ((12, max(ibound - 4, 0)), (16, ibound), (20, ibound + 4))
        return [Clamping(s, MiniBucket(i, self.upper.sweeps, self.upper.orders), self.lower) for s, i in sizes]

    def _parts_of(self, reduced: Reduced, parts: "list[Part]", plan: Plan) -> Iterator[Answer]:
        """The bracket of these parts, refined until all are done."""
        constant, error, looked = 0.0, 0.0, list[Looked]()
        for part, cut in parts:
            run = self._bounded(part, cut)
            bound = math.fsum(run.shed) if np.isfinite(run.shed).all() else -math.inf
            if len(cut.variables) and bound > -math.inf:
                frontier = self._frontier(run, part, cut, bound, plan.limits.memory / (4.0 * len(parts)))
                looked.append((run, frontier))
            else:
                constant, error = constant + bound, error + run.error
                looked.append((run, None))
        name, stats = repr(self), {"clamped": sum(len(cut.variables) for _, cut in parts)}
        frontiers = [frontier for _, frontier in looked if frontier is not None]
        if not frontiers or constant == -math.inf:
            value = constant + reduced.log_constant
            error += reduced.error + (abs(value) * 2.0**-50 if math.isfinite(value) else 0.0)
            sides = exact_sides(value, error, name, lambda: checkable(reduced))
            yield Answer(*sides, value=value, stats=stats, plan=plan)
            return
        prove = _prover(reduced, parts, looked)
        while True:
            yield joined(reduced, frontiers, constant, error, name, stats, plan, prove())
            if all(f.done for f in frontiers):
                return
            frontiers[int(np.argmax([f.gap for f in frontiers]))].grow(_EXPANSIONS)

    def _bounded(self, part: FactorGraph, cut: Cutset) -> Run:
        """Mini-buckets that eliminate the cutset last; exact elimination when there is none."""
        order = np.concatenate([cut.order, cut.variables[::-1]])
        assert self.upper.ibound is not None
        cells = 2.0 ** (self.upper.ibound + 1) if len(cut.variables) else None
        run = BucketTree.build(part.domains, list(part.scopes), order, max_cells=cells).run(list(part.log_tables()))
        optimised(run, self.upper.sweeps)
        return run

    def _frontier(self, run: Run, part: FactorGraph, cut: Cutset, bound: float, memory: float) -> Frontier:
        """The root of the tree of parts of one component."""
        conditioner, chosen = Conditioner(part, cut), np.zeros(part.n, bool)
        chosen[cut.variables] = True
        return Frontier(
            run,
            chosen,
            bound,
            memory=min(memory, 1e9),
            halved=unchanged_by_flips(part, np.ones(part.n, bool)),
            evaluate=conditioner.log_masses,
            batch=int(np.clip(_BATCH_SECONDS / (_SECONDS_PER_CELL * 2.0**cut.log2_cells), 1, 256)),
            error=conditioner.error,
        )


def _prover(reduced: Reduced, parts: "list[Part]", looked: list[Looked]) -> Callable[[], tuple[Any, Any]]:
    """What gives the witnesses of both sides as they stand; one component is clamped, the others are eliminated."""
    own = [part_reduced(reduced, place) for place in components(reduced)]
    clamped = [k for k, (_, frontier) in enumerate(looked) if frontier is not None]
    if len(clamped) != 1:
        return lambda: (None, None)
    (at,) = clamped
    frontier, loose = looked[at][1], [snapshot(part, run) for part, (run, _) in zip(own, looked, strict=True)]
    assert frontier is not None
    place = components(reduced)[at]
    found = Searched(frontier, place if frontier.halved else place[:0], place)

    def rest() -> Decomposition:
        return together(rest_witness(own[k], parts[k][1]) if k == at else write() for k, write in enumerate(loose))

    above = _refutable(reduced)

    def prove() -> tuple[Any, Any]:
        proof = search_witness(reduced, [found], lambda: together(write() for write in loose), rest)
        return proof, proof if above else None

    return prove


def _refutable(reduced: Reduced) -> bool:
    """Whether a checker sees by propagation that the states which were dropped are impossible."""
    if all(len(kept) == size for kept, size in zip(reduced.states, reduced.original.sizes, strict=True)):
        return True
    flat = flatten(reduced.original)
    plain = restrict(reduced.original, None, flat).states
    pairs = enumerate(zip(plain, reduced.states, strict=True))
    doubtful = [(v, state) for v, (every, kept) in pairs for state in np.setdiff1d(every, kept).tolist()]
    if len(doubtful) > _DOUBTFUL:
        return False
    assumed = ([s if u != v else np.array([state]) for u, s in enumerate(plain)] for v, state in doubtful)
    return all(restrict(reduced.original, states, flat).log_constant == -math.inf for states in assumed)


def _parts(reduced: Reduced, entropy: np.ndarray, log2_size: int | None) -> "list[Part]":
    """The components with their cutsets."""
    assert log2_size is not None
    places = components(reduced)
    models = [part_of(reduced.model, place) for place in places]
    return [(m, choose(m, log2_size, entropy[p])) for m, p in zip(models, places, strict=True)]


def _fit(parts: "list[Part]", limits: Limits) -> bool:
    """Whether one part takes no more than a small share of the time left."""
    cells = max(cut.log2_cells for _, cut in parts)
    return _SECONDS_PER_CELL * 2.0**cells < _PART * limits.seconds_left() and 8.0 * 2.0**cells < 0.2 * limits.memory


def part_of(model: FactorGraph, variables: np.ndarray) -> FactorGraph:
    """The factors over these variables alone, numbered anew; no factor may cross."""
    place = {int(v): i for i, v in enumerate(variables)}
    own = [(s, t) for s, t in zip(model.scopes, model.log_tables(), strict=True) if s and s[0] in place]
    scopes = tuple(tuple(place[v] for v in s) for s, _ in own)
    return FactorGraph(tuple(model.sizes[v] for v in variables), scopes, tuple(t for _, t in own))


def _sides_only(answers: Iterator[Answer]) -> Iterator[Answer]:
    """Answers without their plans and their say in when to stop."""
    return (Answer(a.lower, a.upper, a.value, a.belief, stats=a.stats) for a in answers)
