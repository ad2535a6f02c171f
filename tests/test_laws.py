"""Laws that need no reference but enumeration, on random models of at most ten sites, by every method.

No bound lies on the wrong side. A gauge flip, a new numbering and permuted states change nothing; a constant shifts both
sides; disjoint models add; clamping a variable to each of its states adds up. Gradients are moments and finite
differences; jit is eager; nothing is compiled twice for one shape.
"""

import math
from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import calipers as cal
from calipers.core.answer import Answer
from calipers.core.iterate import log_z
from calipers.core.method import AbstractMethod, Limits, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact import kernels
from calipers.exact.enumeration import enumerate_all
from calipers.variational import factor_fields, factor_messages, ising_fields, ising_messages

_MOST = 20_000  # configurations of a random model
FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@st.composite
def factor_graphs(draw: st.DrawFn, zeros: bool = True) -> cal.FactorGraph:
    """Mixed domains 1…4, arity 0…4, zeros, evidence, β, loose ends; scales from faint to violent."""
    sizes, room = [], _MOST
    for _ in range(draw(st.integers(0, 10))):
        sizes.append(draw(st.integers(1, min(4, max(1, room)))))
        room //= sizes[-1]
    n = len(sizes)
    scope = st.lists(st.integers(0, n - 1), max_size=4, unique=True) if n else st.just([])
    scopes = [tuple(s) for s in draw(st.lists(scope, max_size=12))]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 0.1, 1.0, 10.0, 200.0]))
    share = draw(st.sampled_from([0.0, 0.0, 0.2, 0.5])) if zeros else 0.0
    tables = []
    for s in scopes:
        shape = [sizes[v] for v in s]
        tables.append(np.where(random.random(shape) < share, -np.inf, scale * random.normal(size=shape)))
    seen = draw(st.dictionaries(st.integers(0, n - 1), st.just(0), max_size=3)) if n else {}
    evidence = tuple((v, int(random.integers(sizes[v]))) for v in sorted(seen))
    beta = draw(st.sampled_from([1.0, 1.0, 0.0, 0.3, 2.5]))
    return cal.FactorGraph(tuple(sizes), tuple(scopes), tuple(tables), evidence, beta)


@st.composite
def magnets(draw: st.DrawFn) -> cal.Ising:
    """Any graph on at most ten spins, couplings of both signs, some zero, fields on some, an offset."""
    n = draw(st.integers(1, 10))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=20, unique=True)) if pairs else []
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    J = random.normal(size=len(edges)) * draw(st.sampled_from([0.0, 0.3, 2.0, 50.0]))
    h = random.normal(size=n) * (random.random(n) < 0.7) * draw(st.sampled_from([0.0, 0.2, 3.0]))
    beta, offset = draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])), draw(st.sampled_from([0.0, -1.5]))
    return cal.Ising.from_arrays(np.array(edges, np.int64).reshape(-1, 2), J, h, beta, offset, n=n)


def run(model: AbstractDiscreteModel, method: AbstractMethod) -> Answer:
    """The last answer; nothing known when the method refuses."""
    try:
        return log_z(model, method, gap=0.0)
    except Refusal:
        return Answer()


def rounding(model: AbstractDiscreteModel) -> float:
    """What the reference value may be wrong by: it is within its own error of the truth, and so are the sides."""
    return enumerate_all(model.factor_graph())[1]


def assert_true(answer: Answer, model: AbstractDiscreteModel) -> None:
    true, error = enumerate_all(model.factor_graph())[:2]
    assert answer.lower.value <= true + error
    assert answer.upper.value >= true - error
    if answer.exact:
        assert answer.value == true or abs(answer.value - true) <= error + answer.gap


# ---- no bound on the wrong side --------------------------------------------------------------------------------------


@FEW
@given(graph=factor_graphs())
@example(graph=cal.FactorGraph((2, 2, 2), ((0, 1), (1, 2), (0, 2)), (np.log(1 - np.eye(2) + 1e-300),) * 3))
def test_no_bound_is_on_the_wrong_side(any_method, graph):
    assert_true(run(graph, any_method), graph)


@FEW
@given(magnet=magnets())
def test_no_bound_is_on_the_wrong_side_of_a_magnet(any_method, magnet):
    if isinstance(any_method, cal.Pairs):
        any_method = cal.Pairs(steps=0)  # each shape compiles; the steps are tested on the zoo
    assert_true(run(magnet, any_method), magnet)
