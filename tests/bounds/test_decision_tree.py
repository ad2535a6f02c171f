"""Leaves become a tree, and what does not make one is refused."""

import itertools

import numpy as np
import pytest

import calipers as cal
from calipers.bounds.decision_tree import decision_tree
from calipers.core.answer import Answer, Grounds, Side
from calipers.core.witness import LEAF, MISSING
from calipers_check import check

SIZES = (2, 3, 2)


def shape(leaves):
    tree, part, _ = decision_tree(leaves, SIZES, ())
    return tree.tolist(), part.tolist()


def test_preorder():
    assert shape([]) == ([MISSING], [])
    assert shape([([], 4)]) == ([LEAF], [4])
    assert shape([([(1, 2)], 7), ([(1, 0), (0, 1)], 8)]) == ([1, 0, MISSING, LEAF, MISSING, LEAF], [8, 7])
    every = [(((2, s), (1, t)), 10 * s + t) for s, t in itertools.product(range(2), range(3))]
    assert shape(reversed(every)) == ([2, 1, LEAF, LEAF, LEAF, 1, LEAF, LEAF, LEAF], [0, 1, 2, 10, 11, 12])


@pytest.mark.parametrize(
    "leaves",
    [
        [([(0, 0)], 0), ([(0, 0)], 0)],
        [([], 0), ([(0, 0)], 0)],
        [([(0, 0)], 0), ([], 0)],
        [([(0, 0), (1, 0)], 0), ([(0, 0)], 0)],
        [([(0, 0)], 0), ([(1, 0)], 0)],
        [([(0, 2)], 0)],
        [([(0, -1)], 0)],
    ],
)
def test_what_makes_no_tree(leaves):
    with pytest.raises(ValueError, match=r"leaves|leaf|state"):
        shape(leaves)


def test_a_cutset_and_a_search_are_certified(tmp_path):
    """All states of two spins, and then only those that a search has reached: above, the others have mini-buckets."""
    model = cal.from_spec("square:4x4,J=pm1,h=gauss:0.1,seed=3")
    exact, wide = cal.log_z(model, cal.Elimination()), cal.log_z(model, cal.MiniBucket(ibound=2, sweeps=3))
    whole, loose = (a.upper.witness() for a in (exact, wide))
    paths = [((5, s), (10, t)) for s, t in itertools.product((0, 1), repeat=2)]
    all_done = decision_tree([(p, 0) for p in paths], [2] * 16, [whole])
    half = decision_tree([(p, 0) for p in paths[:2]], [2] * 16, [whole])
    half_open = decision_tree([*((p, 0) for p in paths[:2]), ([(5, 1)], 1)], [2] * 16, [whole, loose])
    proved = []
    for below, above in ((all_done, all_done), (half, half_open)):
        sides = (Side(v, Grounds.COMPUTED, witness=lambda w=w: w) for v, w in ((-1e3, below), (1e3, above)))
        cal.Certificate.from_answer(Answer(*sides), model).save(tmp_path / "a.cert")
        verdict = check(tmp_path / "a.cert")
        assert verdict.accepted, verdict.reason
        proved.append([c.proved for c in verdict.claims])
    (a, b), (low, high) = proved
    value = 0.5 * (exact.lower.value + exact.upper.value)
    assert np.allclose([a, b], value, atol=1e-11)
    assert value - 3 < low < value - 1e-6 < value + 1e-6 < high < wide.upper.value
