import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calipers.core.method import Refusal
from calipers.exact.density_of_states import density_of_states, torus_density_of_states
from calipers.exact.kaufman import torus_log_z
from calipers.models.ising import Ising


def counted(magnet: Ising, unit: float = 1.0) -> dict[int, int]:
    """g(E) by looking at every configuration."""
    every = 1 - 2 * ((np.arange(2**magnet.n)[:, None] >> np.arange(magnet.n)) & 1)
    energy = np.rint((magnet.energy(every) - magnet.offset) / unit).astype(int)
    levels, counts = np.unique(energy, return_counts=True)
    return dict(zip(levels.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("side", [4, 8, 16, 32])
def test_published_tori(side, shared_data):
    text = (shared_data / "ising" / f"dos_{side}.json").read_text()
    published = {int(E): int(g) for E, g in json.loads(text).items()}
    found = torus_density_of_states((side, side))
    assert {E: found[E] for E in published} == published
    assert len(published) == (15 if side == 32 else len(found))


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 3), (3, 4), (4, 3), (5, 3), (4, 4)])
def test_small_tori_by_counting(shape):
    found = torus_density_of_states(shape)
    truth = counted(Ising.square(shape))
    assert {E: g for E, g in found.items() if g} == truth == density_of_states(Ising.square(shape))


def test_the_sum_over_levels_is_kaufmans_log_z():
    levels = torus_density_of_states((6, 10))
    T = 2.1
    terms = [math.log(g) - E / T for E, g in levels.items() if g]
    assert np.logaddexp.reduce(terms) == pytest.approx(torus_log_z((6, 10), T), rel=1e-14)
    assert sum(levels.values()) == 2**60


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.25]))
def test_integer_magnets_by_counting(seed, unit):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, 8, (14, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    magnet = Ising.from_arrays(pairs, unit * rng.integers(-3, 4, len(pairs)), unit * rng.integers(-2, 3, 8), offset=0.7)
    assert density_of_states(magnet, unit=unit) == counted(magnet, unit)


def test_a_spin_glass_beyond_counting():
    levels = density_of_states(Ising.square((7, 7), coupling="pm1", periodic=False, seed=3))
    assert sum(levels.values()) == 2**49
    assert all(levels[E] == levels[-E] for E in levels)  # bipartite


def test_refusals():
    with pytest.raises(ValueError, match="integer multiples"):
        density_of_states(Ising.square((3, 3), coupling=0.3))
    with pytest.raises(Refusal, match="steps are needed"):
        density_of_states(Ising.square((20, 20)))
    with pytest.raises(ValueError, match="at least 2"):
        torus_density_of_states((1, 5))
