"""The law that matters most, at δ: no statistical side on the wrong side of enumeration, on random factor graphs.

δ is one in a million, so that with fixed seeds not one of some hundred runs may fail.
"""

import dataclasses
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import factor_graphs

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.exact.enumeration import enumerate_all

METHODS = [
    cal.ImportanceSampling(ibound=0, samples=300, sweeps=2, orders=1),
    cal.ImportanceSampling(ibound=1, samples=3000, sweeps=6, orders=2),
    cal.AnnealedImportance(chains=100, steps=5),
]


@settings(max_examples=150)
@given(factor_graphs())
def test_no_side_is_on_the_wrong_side(graph):
    truth = enumerate_all(graph)[0]
    slack = 1e-9 * max(1.0, abs(truth)) if math.isfinite(truth) else 0.0
    for number, method in enumerate(METHODS):
        try:
            answer = log_z(graph, method, key=jax.random.key(number), delta=1e-6)
        except Refusal:
            continue
        assert answer.lower.value <= truth + slack, (method, truth, answer)
        assert answer.upper.value >= truth - slack, (method, truth, answer)
        assert answer.delta <= 1e-6 * (1 + 1e-9)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_gauge_flips_and_constants_move_nothing_but_the_constant(method):
    magnet = cal.Ising.square((3, 4), coupling="gauss:1", field="gauss:0.5", beta=0.7, seed=3)
    flip = np.random.default_rng(1).choice([-1.0, 1.0], magnet.n)
    couplings = magnet.couplings * flip[magnet.edges[:, 0]] * flip[magnet.edges[:, 1]]
    turned = dataclasses.replace(magnet, couplings=couplings, fields=magnet.fields * flip, lattice=None, offset=2.0)
    truth = log_z(magnet, cal.Elimination()).value
    for model, value in ((magnet, truth), (turned, truth - 0.7 * 2.0)):
        answer = log_z(model, method, key=jax.random.key(5), delta=1e-3)
        assert answer.lower.value <= value <= answer.upper.value
        assert abs(answer.value - value) < 0.02 + 6 * answer.stats["standard_error"]


def test_evidence_is_conditioning():
    glass = cal.Ising.square((4, 4), coupling="pm1", field="gauss:0.1", beta=0.8, seed=1)
    parts = [
        log_z(
            glass.condition({5: s}), cal.ImportanceSampling(ibound=2, samples=30_000), key=jax.random.key(s), delta=1e-3
        )
        for s in (0, 1)
    ]
    truth = log_z(glass, cal.Elimination()).value
    low, high = ([getattr(p, side).value for p in parts] for side in ("lower", "upper"))
    assert np.logaddexp.reduce(low) <= truth <= np.logaddexp.reduce(high)
