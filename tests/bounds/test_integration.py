"""Thermodynamic integration of exact samples: both sides cover, and narrow with points and samples."""

import numpy as np
import pytest

import calipers as cal
from calipers.core.answer import Grounds
from calipers.core.iterate import log_z
from calipers.models.tempered import tempered

MAGNET = cal.Ising.square((3, 3), coupling="gauss:1", field="gauss:0.3", beta=0.6, seed=1)
POTTS = cal.FactorGraph.from_tables((3, 2), [((0, 1), [[1.0, 2.0], [3.0, 1.0], [1.0, 4.0]])])


def drawn(model, lambdas, count, seed):
    return np.stack([cal.sample(tempered(model, x), count, seed=seed + i).states for i, x in enumerate(lambdas[1:])])


@pytest.mark.parametrize("model", [MAGNET, POTTS], ids=["magnet", "tables"])
def test_both_sides_cover(model):
    truth, lambdas = log_z(model, cal.Enumeration()).value, np.linspace(0, 1, 9)
    for seed in range(8):
        lower, upper = cal.integrated_sides(model, lambdas, drawn(model, lambdas, 400, 100 * seed), delta=0.05)
        assert lower.value < truth < upper.value  # they are far from tight
        assert upper.value - lower.value < 6.0
        assert (lower.grounds, lower.delta, upper.delta) == (Grounds.STATISTICAL, 0.025, 0.025)


def test_more_samples_and_points_narrow_the_sides():
    gaps = []
    for points, count in ((3, 100), (3, 5000), (12, 5000)):
        lambdas = np.linspace(0, 1, points)
        lower, upper = cal.integrated_sides(MAGNET, lambdas, drawn(MAGNET, lambdas, count, 1), delta=0.05)
        gaps.append(upper.value - lower.value)
    assert gaps[0] > gaps[1] > gaps[2]


def test_refusals():
    states = np.zeros((2, 5, 9), int)
    for wrong in ([0.0, 1.0], [0.1, 0.5, 1.0], [0.0, 0.5, 0.9], [0.0, 1.0, 1.0]):
        with pytest.raises(ValueError, match=r"ladder|shape"):
            cal.integrated_sides(MAGNET, wrong, states, delta=0.1)
    zeros = cal.FactorGraph.from_tables((2, 2), [((0, 1), [[0.0, 1.0], [1.0, 2.0]])])
    with pytest.raises(ValueError, match="zeros"):
        cal.integrated_sides(zeros, [0.0, 1.0], np.zeros((1, 5, 2), int), delta=0.1)
