"""log Z by visiting every configuration: the engine that all others are tested against.

    Z = Σ_x Π_a f_a(x_a)

**Proves** both sides, exactly, up to the stated rounding error. Configurations are walked depth first; a factor joins
the running sum at the depth of its last variable, so a configuration costs about as many additions as there are factors
that end at the last two variables, and a prefix of weight zero is cut off with everything below it. Two passes: the
largest log weight, then masses relative to it, added up level by level (rounding grows with the depth, not the count).
The second pass also collects the exact marginals and factor beliefs. Memory is that of the tables. Where no beliefs
are wanted and configurations are few, one joint table is added up instead.

Cost: some 5 ns a configuration, pass and factor that ends at the last two variables. Fails: refuses beyond `limit`
configurations consistent with the evidence.
Rounding: with B = Σ_a max |θ_a| (zeros apart), f factors, N configurations and unit roundoff u, each log weight is
within (f + 4)·B·u, the shift by the maximum adds (1 + log N)·u on average, exp, the additions and log (10 + Σ sizes)·u.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit

from calipers.core.answer import Answer, Belief, Grounds, Result, Side
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.elimination import checkable
from calipers.exact.joint_table import AXES, CONFIGURATIONS, rounding, sum_joint
from calipers.models.factor_graph import FactorGraph

_CHUNK = 2**18  # configurations a kernel call: tens of milliseconds


class Enumeration(AbstractMethod):
    """Brute force over every configuration that agrees with the evidence.

    **Arguments:** `limit` on the configurations; `beliefs`, whether to collect marginals too: without, some thousand
    configurations take microseconds.

    **Proves:** log Z itself. **Cost:** Π sizes of the unobserved variables, at most `limit`.
    """

    limit: int = 2**22
    beliefs: bool = True
    proves: ClassVar[Proves] = Proves.EQUAL

    def __check_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}; it must allow at least one configuration")

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Counts the configurations. Raises `Refusal` beyond `limit`."""
        graph = model.factor_graph()
        observed = dict(graph.evidence)
        count = math.prod(k for v, k in enumerate(graph.sizes) if v not in observed)
        log2 = math.log2(count) if count else -math.inf
        if count > self.limit:
            raise Refusal(
                f"enumeration would visit 2^{log2:.1f} configurations (limit {self.limit}); "
                "eliminate, bound, or raise the limit"
            )
        return Plan(text=f"enumerate {count} configurations of {graph.n} variables", log2_size=log2, cells=float(count),
                    bytes=float(sum(t.nbytes for t in graph.tables)), limits=limits)  # fmt: skip

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One answer, exact on both sides, with exact beliefs."""
        graph, belief = model.factor_graph(), None
        if self.beliefs or plan.limits.beliefs or plan.cells > CONFIGURATIONS or graph.n > AXES:
            value, error, marginals, beliefs = enumerate_all(graph)
            belief = None if math.isinf(value) else Belief(marginals, beliefs, Grounds.EXACT)
        else:
            value, error = sum_joint(graph)
        low, high = (value, value) if math.isinf(value) else (value - error, value + error)
        proof = partial(checkable, graph)
        yield Answer(
            lower=Side(low, Grounds.EXACT, method=repr(self), witness=proof),
            upper=Side(high, Grounds.EXACT, method=repr(self), witness=proof),
            value=value,
            belief=belief,
            result=Result.EXACT,
            stats={"configurations": int(plan.cells), "rounding": error},
            plan=plan,
        )


class _Walk(NamedTuple):
    """Variables 0…n−1 in depth order; factor j of depth d (`first[d] ≤ j < first[d+1]`) has its last variable there.

    Its table is `flat[begin[j]:]`, its scope `scope[at[j]:at[j+1]]` with strides `stride[…]`.
    """

    sizes: np.ndarray
    first: np.ndarray
    at: np.ndarray
    scope: np.ndarray
    stride: np.ndarray
    begin: np.ndarray
    flat: np.ndarray
    number: np.ndarray  # the model's number of factor j


def enumerate_all(graph: FactorGraph) -> tuple[float, float, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """log Z, its rounding error, the marginals and the factor beliefs of `graph`, by brute force.

    **Returns:** (value, error, marginals, beliefs); value −inf, error 0 and beliefs of zeros if every weight is zero.
    """
    observed = dict(graph.evidence)
    keep = tuple(np.array([observed[v]]) if v in observed else np.arange(k) for v, k in enumerate(graph.sizes))
    tables = [
        t[np.ix_(*(keep[v] for v in s))] if s else t for s, t in zip(graph.scopes, graph.log_tables(), strict=True)
    ]
    sizes = np.array([len(states) for states in keep], np.int64)
    constant = float(sum(float(t) for s, t in zip(graph.scopes, tables, strict=True) if not s))
    walk = _walk(sizes, graph.scopes, tables)
    prefixes = list(_prefixes(sizes))
    top = max(_peak(*walk[:7], start, x) for start, x in prefixes) if (sizes > 0).all() else -math.inf
    marginals, masses = np.zeros((len(sizes), max(sizes, default=1))), np.zeros(len(walk.flat))
    if constant == -math.inf or top == -math.inf:
        return -math.inf, 0.0, *_spread(graph, keep, walk, marginals, masses, math.inf)
    mass = math.fsum(_collect(*walk[:7], start, x, top, marginals, masses) for start, x in prefixes)
    value = constant + top + math.log(mass)
    return value, _rounding(tables, sizes, value, top), *_spread(graph, keep, walk, marginals, masses, mass)


def _walk(sizes: np.ndarray, scopes: tuple[tuple[int, ...], ...], tables: list[np.ndarray]) -> _Walk:
    number = sorted((a for a, s in enumerate(scopes) if s), key=lambda a: (max(scopes[a]), a))
    flat = [np.ascontiguousarray(tables[a], np.float64) for a in number]
    strides = [np.array(t.strides, np.int64) // 8 for t in flat]
    lengths = np.array([len(scopes[a]) for a in number], np.int64)
    last = np.array([max(scopes[a]) for a in number], np.int64)
    none = np.zeros(0, np.int64)
    return _Walk(
        sizes,
        np.searchsorted(last, np.arange(len(sizes) + 1)).astype(np.int64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([none, *(np.array(scopes[a], np.int64) for a in number)]),
        np.concatenate([none, *strides]),
        np.concatenate([[0], np.cumsum([t.size for t in flat])]).astype(np.int64),
        np.concatenate([np.zeros(0), *(t.ravel() for t in flat)]),
        np.array(number, np.int64),
    )


def _prefixes(sizes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Pairs (depth, x): the walk in pieces of at most `_CHUNK` configurations, each fixing x[:depth]."""
    depth, below = len(sizes), 1
    while depth > 0 and below * int(sizes[depth - 1]) <= _CHUNK:
        depth -= 1
        below *= int(sizes[depth])
    for states in np.ndindex(*sizes[:depth].tolist()):
        x = np.zeros(len(sizes), np.int64)
        x[:depth] = states
        yield depth, x


def _rounding(tables: list[np.ndarray], sizes: np.ndarray, value: float, top: float) -> float:
    """The error estimate of the file header, doubled."""
    finite = (np.abs(t[np.isfinite(t)]) for t in tables)
    scale = math.fsum(float(t.max()) for t in finite if t.size)
    return rounding(len(tables), scale, sizes.tolist(), value, top)


def _spread(
    graph: FactorGraph,
    keep: tuple[np.ndarray, ...],
    walk: _Walk,
    marginals: np.ndarray,
    masses: np.ndarray,
    mass: float,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Divides the masses by `mass` and puts them back on the full domains: (marginals, beliefs); ∞ makes all zero."""
    out = []
    for v, k in enumerate(graph.sizes):
        full = np.zeros(k)
        full[keep[v]] = marginals[v, : len(keep[v])] / mass
        out.append(full)
    beliefs = [np.full(np.shape(t), float(math.isfinite(mass))) for t in graph.tables]  # constants stay so
    for j, a in enumerate(walk.number):
        scope = graph.scopes[a]
        full = np.zeros(tuple(graph.sizes[v] for v in scope))
        part = masses[walk.begin[j] : walk.begin[j + 1]] / mass
        full[np.ix_(*(keep[v] for v in scope))] = part.reshape([len(keep[v]) for v in scope])
        beliefs[a] = full
    return tuple(out), tuple(beliefs)


@njit(cache=True, nogil=True)
def _joined(d, x, first, at, scope, stride, begin, flat):
    """Sum of the factors whose last variable is d, at x."""
    total = 0.0
    for j in range(first[d], first[d + 1]):
        place = begin[j]
        for t in range(at[j], at[j + 1]):
            place += x[scope[t]] * stride[t]
        total += flat[place]
    return total


@njit(cache=True, nogil=True)
def _peak(sizes, first, at, scope, stride, begin, flat, start, x):
    """The largest log weight over configurations that begin with x[:start]."""
    n = sizes.size
    partial = np.zeros(n + 1)
    for d in range(start):
        partial[d + 1] = partial[d] + _joined(d, x, first, at, scope, stride, begin, flat)
    if start == n:
        return partial[n]
    best = -np.inf
    d = start
    x[d] = -1
    while d >= start:
        x[d] += 1
        if x[d] == sizes[d]:
            d -= 1
            continue
        partial[d + 1] = partial[d] + _joined(d, x, first, at, scope, stride, begin, flat)
        if partial[d + 1] == -np.inf:
            continue
        if d == n - 1:
            best = max(best, partial[n])
        else:
            d += 1
            x[d] = -1
    return best


@njit(cache=True, nogil=True)
def _credit(d, x, gain, first, at, scope, stride, begin, marginals, masses):
    """Adds `gain`, the mass of what begins with x[:d+1], to variable d and to the factors that end there."""
    marginals[d, x[d]] += gain
    for j in range(first[d], first[d + 1]):
        place = begin[j]
        for t in range(at[j], at[j + 1]):
            place += x[scope[t]] * stride[t]
        masses[place] += gain


@njit(cache=True, nogil=True)
def _collect(sizes, first, at, scope, stride, begin, flat, start, x, top, marginals, masses):
    """Σ exp(log weight − top) over configurations that begin with x[:start]; adds it to `marginals` and `masses`."""
    n = sizes.size
    partial = np.zeros(n + 1)
    mass = np.zeros(n + 1)  # mass[d]: found below x[:d] so far
    for d in range(start):
        partial[d + 1] = partial[d] + _joined(d, x, first, at, scope, stride, begin, flat)
    if partial[start] == -np.inf:
        return 0.0
    d = start
    if start < n:
        x[d] = -1
    else:
        mass[n] = np.exp(partial[n] - top)
        d = -1
    while d >= start:
        x[d] += 1
        if x[d] == sizes[d]:
            d -= 1
            if d >= start:
                _credit(d, x, mass[d + 1], first, at, scope, stride, begin, marginals, masses)
                mass[d] += mass[d + 1]
            continue
        partial[d + 1] = partial[d] + _joined(d, x, first, at, scope, stride, begin, flat)
        if partial[d + 1] == -np.inf:
            continue
        if d == n - 1:
            gain = np.exp(partial[n] - top)
            _credit(d, x, gain, first, at, scope, stride, begin, marginals, masses)
            mass[d] += gain
        else:
            d += 1
            x[d] = -1
            mass[d] = 0.0
    for e in range(start):
        _credit(e, x, mass[start], first, at, scope, stride, begin, marginals, masses)
    return mass[start]
