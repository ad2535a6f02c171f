"""The k best configurations against sorted enumeration: ties, zeros, free variables, evidence."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.listing import listed
from tests.strategies import factor_graphs

import calipers as cal
from calipers import zoo
from calipers.core.method import Refusal

SMALL = [m for m in zoo.models() if np.prod(m.model.domains, dtype=float) <= 2**10]


def check_best(model, k, listing):
    found = cal.most_probable(model, k)
    best = -np.sort(-listing.log_weights)[:k]
    assert len(found) == len(best) == min(k, len(listing.states))
    np.testing.assert_allclose(found.log_weights, best, rtol=1e-12, atol=1e-12)
    assert len({tuple(x) for x in found.states.tolist()}) == len(found)
    for x, weight in zip(found.states, found.log_weights, strict=True):
        assert float(model.log_weight(x)) == pytest.approx(weight, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("example", SMALL, ids=lambda m: m.name)
def test_the_zoo(example):
    listing = listed(example.model)
    for k in (1, 2, 7, 2000):
        check_best(example.model, k, listing)


@given(graph=factor_graphs(), k=st.integers(1, 400))
def test_random_graphs(graph, k):
    check_best(graph, k, listed(graph))


def test_ground_states_come_in_pairs_without_a_field():
    glass = cal.Ising.square((8, 8), coupling="gauss:1.0", seed=1)
    found = cal.most_probable(glass, 6)
    for up, down in zip(found.spins[::2], found.spins[1::2], strict=True):
        assert np.array_equal(up, -down)
    np.testing.assert_allclose(-glass.energy(found.spins), found.log_weights, rtol=1e-12)
    assert (np.diff(found.log_weights[::2]) < 0).all()


def test_a_degenerate_ground_state_is_counted():
    """At T → 0, log Z + βE₀ is the log of the number of ground states, which are then all found."""
    glass = cal.Ising.square((6, 6), coupling="pm1", seed=2, beta=1.0)
    best = cal.most_probable(glass).log_weights[0]
    count = round(math.exp(cal.log_z(glass.tempered(60.0), cal.Elimination()).value - 60.0 * best))
    found = cal.most_probable(glass, count + 1)
    assert np.isclose(found.log_weights[:count], best).all()
    assert found.log_weights[count] < best - 1.0


def test_the_lowest_levels_of_a_published_density_of_states(shared_data):
    counts = json.loads((shared_data / "ising" / "dos_8.json").read_text())
    levels = sorted((int(e), int(g)) for e, g in counts.items() if int(g))[:4]
    found = cal.most_probable(cal.Ising.square((8, 8)), sum(g for _, g in levels))
    assert found.log_weights.tolist() == [-float(e) for e, g in levels for _ in range(g)]
    assert len(np.unique(found.states, axis=0)) == len(found)


def test_the_best_of_a_long_chain_by_hand():
    chain = cal.Ising.chain(2000, field="gauss:1.0", coupling="gauss:1.0", periodic=False, seed=3)
    local = chain.fields[:, None] * [1.0, -1.0]
    score = local[0]
    for i, coupling in enumerate(chain.couplings):  # Viterbi
        score = local[i + 1] + (score[:, None] + coupling * np.array([[1, -1], [-1, 1]])).max(0)
    assert cal.most_probable(chain).log_weights[0] == pytest.approx(score.max(), rel=1e-12)


def test_impossible_models_have_no_best():
    for example in zoo.models():
        if example.log_z == -math.inf:
            found = cal.most_probable(example.model, 3)
            assert (found.states.shape, found.log_weights.shape) == ((0, example.model.n), (0,))


def test_what_it_will_not_do():
    with pytest.raises(Refusal, match=r"2\^\d+"):
        cal.most_probable(cal.Ising.complete(70))
    with pytest.raises(ValueError, match="k is 0"):
        cal.most_probable(cal.Ising.chain(3), 0)
