"""Joint and conditional marginals against enumeration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.listing import listed
from tests.strategies import factor_graphs

import calipers as cal
from calipers.core.method import Refusal


@given(graph=factor_graphs(), seed=st.integers(0, 1000))
def test_random_graphs(graph, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(graph.n).tolist()
    wanted, known = order[: rng.integers(0, 4)], order[-1:] if rng.random() < 0.5 else []
    evidence = {v: dict(graph.evidence).get(v, int(rng.integers(graph.sizes[v]))) for v in known}
    listing = listed(graph.condition(evidence))
    if not len(listing.p):
        with pytest.raises(ValueError, match="weight zero"):
            cal.marginal(graph, wanted, evidence)
        return
    expected = np.zeros([graph.sizes[v] for v in wanted])
    for x, p in zip(listing.states, listing.p, strict=True):
        expected[tuple(x[v] for v in wanted)] += p
    np.testing.assert_allclose(cal.marginal(graph, wanted, evidence), expected, atol=1e-12)


def test_the_sprinkler():
    """Russell & Norvig: p(rain | grass wet) = 0.708."""
    tables = [((0,), [0.5, 0.5]), ((0, 1), [[0.5, 0.5], [0.9, 0.1]]), ((0, 2), [[0.8, 0.2], [0.2, 0.8]])]
    wet = ((1, 2, 3), [[[1.0, 0.0], [0.1, 0.9]], [[0.1, 0.9], [0.01, 0.99]]])
    net = cal.FactorGraph.from_tables((2,) * 4, [*tables, wet])
    assert cal.marginal(net, 2, {3: 1})[1] == pytest.approx(0.4581 / 0.6471, abs=1e-12)
    joint = cal.marginal(net, (1, 2), {3: 1})
    np.testing.assert_allclose(joint.T, cal.marginal(net, (2, 1), {3: 1}), atol=1e-15)


def test_far_ends_of_a_magnet_agree_with_the_covariance():
    magnet = cal.Ising.square((8, 8), coupling="gauss:1.0", field=0.1, periodic=False, seed=2)
    joint = cal.marginal(magnet, (0, 63))
    sign = np.array([1.0, -1.0])
    connected = sign @ joint @ sign - (sign @ joint.sum(1)) * (sign @ joint.sum(0))
    assert connected == pytest.approx(cal.covariance(magnet)[0, 63], abs=1e-13)


def test_what_it_will_not_do():
    magnet = cal.Ising.chain(4)
    for wrong in ((0, 0), (4,), (-1,)):
        with pytest.raises(ValueError, match="distinct"):
            cal.marginal(magnet, wrong)
    with pytest.raises(ValueError, match="observed"):
        cal.marginal(magnet.condition({0: 1}), 1, {0: 0})
    with pytest.raises(Refusal, match=r"2\^\d+"):
        cal.marginal(cal.Ising.chain(64), tuple(range(50)))
