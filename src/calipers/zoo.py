"""Small models whose log Z is known: what methods are tested on, and a gallery of every corner a model can have.

    log_z    by a closed form that shares no code with any method, or by adding up every configuration in plain Python

Chains, trees and rings have transfer matrices, the 4×4 torus Kaufman's sum over its boundary conditions; hard
constraints are counted by combinatorics. Everything is small enough for enumeration (at most 2¹⁶ configurations).
**Cost** the whole zoo is built once, in about a tenth of a second. **Source** Ising 1925; Kaufman 1949; Potts 1952.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.closed_forms import chain_log_z, curie_weiss_log_z
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.tempered import Tempered

Factors = Sequence[tuple[tuple[int, ...], Any]]  # pairs (scope, table of weights)


class ZooModel(NamedTuple):
    """A model, the name it is known by, and its log Z in nats (−inf when every weight is zero)."""

    name: str
    model: AbstractDiscreteModel
    log_z: float


@functools.cache
def models() -> tuple[ZooModel, ...]:
    """The whole zoo, in a fixed order; names are unique."""
    parts = (_magnets(), _frustrated(), _graphs(), _constraints(), _impossible(), _corners())
    return tuple(itertools.chain.from_iterable(parts))


def find(name: str) -> ZooModel:
    """The model of this name.

    **Raises:** `KeyError`, naming the models that there are.
    """
    known = {m.name: m for m in models()}
    if name not in known:
        raise KeyError(f"no model {name!r} in the zoo; it has {', '.join(known)}")
    return known[name]


def random_graph(seed: int, *, n: int = 7, states: int = 4, arity: int = 4, zeros: float = 0.0) -> FactorGraph:
    """A random factor graph: mixed domains, scopes in any order, constants, often disconnected.

    **Arguments:** `seed`; `n` variables of 1 to `states` states; factors over 0 to `arity` of them; `zeros`, the share
    of table entries that are zero. Log weights are standard normal.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, states + 1, n)
    scopes = [tuple(rng.permutation(n)[: rng.integers(0, arity + 1)].tolist()) for _ in range(n + 2)]
    tables = []
    for scope in scopes:
        shape = sizes[list(scope)]
        table = rng.normal(size=shape)
        tables.append(np.where(rng.random(shape) < (zeros if scope else 0.0), -np.inf, table))
    return FactorGraph(tuple(sizes), tuple(scopes), tuple(tables))


def torus_log_z(side: int, K: float) -> float:
    """log Z of the side × side periodic square lattice (side ≥ 3) without a field, in nats, for K = βJ > 0.

    **Source** Kaufman, Phys. Rev. 76, 1232 (1949), eq. (38).
    """
    phase = np.pi * np.arange(2 * side) / side
    gamma = np.arccosh(np.maximum(np.cosh(2 * K) / np.tanh(2 * K) - np.cos(phase), 1.0))
    gamma[0] = 2 * K + np.log(np.tanh(K))  # negative above the critical temperature
    odd, even = side * gamma[1::2] / 2, side * gamma[::2] / 2
    with np.errstate(divide="ignore"):  # sinh 0 at the critical point
        logs = [f(np.abs(x)) for x in (odd, even) for f in (_log_two_cosh, _log_two_sinh)]
    terms = np.array([x.sum() for x in logs])
    mass = np.array([1.0, 1.0, 1.0, np.sign(gamma[0])]) @ np.exp(terms - terms.max())
    return float(side * side / 2 * np.log(2 * np.sinh(2 * K)) + terms.max() + np.log(mass / 2))


def _log_two_cosh(x: Any) -> Any:
    return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x)))


def _log_two_sinh(x: Any) -> Any:
    return x + np.log(-np.expm1(-2 * x))


def _add_up(sizes: Sequence[int], factors: Factors, evidence: Mapping[int, int]) -> float:
    """log Σ_x Π_a f_a(x_a) over the configurations that agree with the evidence."""
    weights = [(scope, np.asarray(table, float)) for scope, table in factors]
    mass = math.fsum(
        math.prod(float(table[tuple(x[v] for v in scope)]) for scope, table in weights)
        for x in itertools.product(*map(range, sizes))
        if all(x[v] == state for v, state in evidence.items())
    )
    return math.log(mass) if mass else -math.inf


def _added(name: str, sizes: Sequence[int], factors: Factors, evidence: Mapping[int, int] | None = None) -> ZooModel:
    """A factor graph with its log Z by adding up."""
    graph = FactorGraph.from_tables(sizes, factors, evidence=evidence)
    return ZooModel(name, graph, _add_up(sizes, factors, evidence or {}))


# ---- magnets ---------------------------------------------------------------------------------------------------------


def _magnets() -> Iterator[ZooModel]:
    none = np.zeros((0, 2), np.int64)
    yield ZooModel("spin", Ising.from_arrays(none, fields=np.array([0.8]), beta=1.5), float(_log_two_cosh(1.2)))
    pair = Ising.from_arrays(np.array([[0, 1]]), 0.7, np.array([0.3, -1.1]), beta=2.0, offset=0.25)
    z = math.exp(1.4) * 2 * math.cosh(1.6) + math.exp(-1.4) * 2 * math.cosh(2.8)
    yield ZooModel("pair", pair, math.log(z) - 0.5)
    chain = Ising.chain(9, coupling=0.9, field=0.4, beta=0.7, periodic=False)
    yield ZooModel("chain", chain, chain_log_z(9, 1 / 0.7, 0.9, 0.4, periodic=False))
    cold = Ising.chain(8, field=0.01, beta=40.0, periodic=False)
    yield ZooModel("cold-chain", cold, chain_log_z(8, 1 / 40, 1.0, 0.01, periodic=False))
    ring = Ising.chain(10, coupling=-0.8, field=0.3, beta=1.3)
    yield ZooModel("ring", ring, chain_log_z(10, 1 / 1.3, -0.8, 0.3))
    J = np.array([0.5, -1.5, 2.0, 0.1, -0.7, 3.0])
    tree = Ising.from_arrays(np.array([[0, 1], [0, 2], [1, 3], [1, 4], [2, 5], [5, 6]]), J, beta=0.8)
    yield ZooModel("tree", tree, float(np.log(2) + _log_two_cosh(0.8 * J).sum()))
    J, h = np.array([0.4, -1.0, 2.5, -0.3]), np.array([0.2, -0.6, 0.9, 1.4])
    star = Ising.from_arrays(np.array([[0, 1], [0, 2], [0, 3], [0, 4]]), J, np.array([0.5, *h]))
    hub = [0.5 * s + _log_two_cosh(J * s + h).sum() for s in (1, -1)]
    yield ZooModel("star", star, float(np.logaddexp(*hub)))
    yield ZooModel("torus", Ising.square(4, beta=0.44), torus_log_z(4, 0.44))
    weiss = Ising.complete(8, coupling=1.2 / 8, field=0.1)
    yield ZooModel("curie-weiss", weiss, curie_weiss_log_z(8, 1.0, 1.2, 0.1))
    hot = Ising.square(3, coupling=2.0, field=1.0, beta=0.0)
    yield ZooModel("infinite-temperature", hot, 9 * math.log(2))
    half = Tempered(FactorGraph.from_tables((2, 2), [((0, 1), [[4.0, 0.0], [9.0, 1.0]])]), 0.5)
    yield ZooModel("tempered", half, math.log(2 + 3 + 1))


def _frustrated() -> Iterator[ZooModel]:
    triangle = Ising.complete(3, coupling=-1.0, beta=0.9)
    yield ZooModel("triangle", triangle, math.log(2 * math.exp(-2.7) + 6 * math.exp(0.9)))
    glass = Ising.square(3, coupling="pm1", field="gauss:0.5", beta=1.2, periodic=False, seed=3)
    yield ZooModel("glass", glass, _add_up_spins(glass))
    sk = Ising.sherrington_kirkpatrick(5, beta=1.5, seed=1, field=0.2)
    yield ZooModel("sherrington-kirkpatrick", sk, _add_up_spins(sk))


def _add_up_spins(magnet: Ising) -> float:
    """log Σ_s exp(−βE(s)), spin by spin."""
    bonds = list(zip(magnet.edges.tolist(), magnet.couplings.tolist(), strict=True))
    weights = []
    for s in itertools.product((1, -1), repeat=magnet.n):
        energy = -sum(J * s[i] * s[j] for (i, j), J in bonds) - sum(
            map(float.__mul__, magnet.fields.tolist(), map(float, s))
        )
        weights.append(math.exp(-magnet.beta * energy))
    return math.log(math.fsum(weights))


# ---- factor graphs ---------------------------------------------------------------------------------------------------


def _graphs() -> Iterator[ZooModel]:
    K, bonds = 0.9, [(i, (i + 1) % 6) for i in range(6)]
    ring = FactorGraph((3,) * 6, tuple(bonds), (K * np.eye(3),) * 6)
    yield ZooModel("potts-ring", ring, math.log((math.exp(K) + 2) ** 6 + 2 * (math.exp(K) - 1) ** 6))
    rng, sizes = np.random.default_rng(7), (2, 3, 1, 4, 2, 3)
    scopes = [(0, 1, 3), (4, 1), (3, 5, 2), (5, 0, 4), (2,), (1,), (3, 4), (4, 3), ()]
    factors = [(s, np.exp(rng.normal(size=[sizes[v] for v in s]))) for s in scopes]
    yield _added("mixed", sizes, factors)
    yield _added("evidence", sizes, factors, {1: 2, 4: 0})
    wide = [((4, 0, 2, 1), rng.random((3, 2, 2, 3))), ((1, 3), rng.random((3, 2))), ((3, 4), rng.random((2, 3)))]
    yield _added("quartic", (2, 3, 2, 2, 3), wide)
    sparse = [(s, np.where(rng.random(np.shape(t)) < 0.3, 0.0, t)) for s, t in factors if s]
    yield _added("zeros", sizes, sparse)
    loose = [((0, 1), [[1.0, 2.0], [3.0, 4.0]]), ((2, 3), [[0.5, 0.1], [0.2, 0.9]])]  # variable 4 is in no factor
    yield ZooModel("disconnected", FactorGraph.from_tables((2, 2, 2, 2, 3), loose), math.log(10 * 1.7 * 3))
    # cloudy → sprinkler, rain → wet grass; each table p(child | parents), so that log Z = log p(evidence)
    child: list[tuple[Sequence[int], Any]] = [
        ((0,), [0.5, 0.5]),
        ((0, 1), [[0.5, 0.5], [0.9, 0.1]]),
        ((0, 2), [[0.8, 0.2], [0.2, 0.8]]),
    ]
    wet = ((1, 2, 3), [[[1.0, 0.0], [0.1, 0.9]], [[0.1, 0.9], [0.01, 0.99]]])
    yield ZooModel("bayes", FactorGraph.from_tables((2,) * 4, [*child, wet]), 0.0)
    seen = FactorGraph.from_tables((2,) * 4, [*child, wet], evidence={3: 1})
    yield ZooModel("bayes-evidence", seen, math.log(0.6471))  # Russell & Norvig's sprinkler: p(wet) = 0.6471
    far = [((0, 1), [[500.0, -300.0], [-700.0, 650.0]]), ((1, 2), [[-900.0, 0.0], [0.0, -900.0]])]
    logs = FactorGraph((2, 2, 2), tuple(s for s, _ in far), tuple(np.array(t) for _, t in far))
    yield ZooModel("huge-range", logs, 650.0 + math.log1p(math.exp(-150.0)))


# ---- hard constraints ------------------------------------------------------------------------------------------------


def _constraints() -> Iterator[ZooModel]:
    differ = 1.0 - np.eye(3)
    ring = FactorGraph.from_tables((3,) * 5, [((i, (i + 1) % 5), differ) for i in range(5)])
    yield ZooModel("colouring", ring, math.log(2**5 - 2))  # the chromatic polynomial of a 5-ring at 3 colours
    apart = np.array([[1.0, 1.0], [1.0, 0.0]])
    gas = FactorGraph.from_tables((2,) * 8, [((i, i + 1), apart) for i in range(7)])
    yield ZooModel("hard-core-gas", gas, math.log(55))  # Fibonacci
    even = np.indices((2, 2, 2)).sum(0) % 2 == 0
    code = FactorGraph.from_tables((2,) * 7, [(s, even) for s in [(0, 1, 2), (2, 3, 4), (4, 5, 6), (0, 3, 5)]])
    yield ZooModel("parity-code", code, 3 * math.log(2))  # seven bits, four independent checks
    yield ZooModel("four-queens", _queens(4), math.log(2))
    cells = list(itertools.product(range(3), repeat=2))
    lines = [
        p
        for p in itertools.combinations(range(9), 2)
        if sum(a == b for a, b in zip(*(cells[i] for i in p), strict=True))
    ]
    latin = FactorGraph.from_tables((3,) * 9, [(pair, differ) for pair in lines])
    yield ZooModel("latin-squares", latin, math.log(12))


def _queens(n: int) -> FactorGraph:
    """One queen a column, its row the state; no two attack each other."""
    factors = []
    for i, j in itertools.combinations(range(n), 2):
        rows = np.subtract.outer(np.arange(n), np.arange(n))
        factors.append(((i, j), (rows != 0) & (np.abs(rows) != j - i)))
    return FactorGraph.from_tables((n,) * n, factors)


def _impossible() -> Iterator[ZooModel]:
    same, differ = np.eye(2), 1.0 - np.eye(2)
    clash = FactorGraph.from_tables((2, 2), [((0, 1), same)], evidence={0: 0, 1: 1})
    yield ZooModel("contradiction", clash, -math.inf)  # by propagation
    odd = FactorGraph.from_tables((2,) * 3, [(s, differ) for s in [(0, 1), (1, 2), (0, 2)]])
    yield ZooModel("odd-ring", odd, -math.inf)  # two colours: every state has support, yet nothing fits
    yield ZooModel("three-queens", _queens(3), -math.inf)
    yield ZooModel("zero-constant", FactorGraph.from_tables((2,), [((), 0.0), ((0,), [1.0, 2.0])]), -math.inf)


def _corners() -> Iterator[ZooModel]:
    yield ZooModel("one-state", FactorGraph.from_tables((1,), [((0,), [2.5])]), math.log(2.5))
    yield ZooModel("empty", FactorGraph((), (), ()), 0.0)
    yield ZooModel("constants", FactorGraph.from_tables((), [((), 3.0), ((), 0.25)]), math.log(0.75))
    yield ZooModel("free", FactorGraph((3, 1, 4), (), ()), math.log(12))
    yield ZooModel("no-spins", Ising.from_arrays(np.zeros((0, 2), np.int64), offset=0.5, beta=2.0), -1.0)
    known = FactorGraph.from_tables((2, 3), [((1, 0), np.arange(6.0).reshape(3, 2))], evidence={0: 1, 1: 2})
    yield ZooModel("all-observed", known, math.log(5))
    count = FactorGraph.from_tables((3, 2), [((0, 1), [[0.0, 5.0], [2.0, 0.0], [1.0, 7.0]])]).tempered(0.0)
    yield ZooModel("support", count, math.log(4))  # β = 0 counts the configurations that are possible
