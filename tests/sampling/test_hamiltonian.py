"""Annealing between Gaussians with known normalisers: unbiased both ways, reversible steps, schedules."""

import numpy as np
import pytest

from calipers.sampling.hamiltonian import (
    Bridge,
    Schedule,
    anneal_backwards,
    anneal_forwards,
    even_bridge,
    hamiltonian_step,
)

D, CHAINS, Z_LIMIT = 3, 4000, 4.5  # fixed seeds
MEAN, SCALE, LOG_Z = np.array([1.0, -0.5, 0.3]), np.array([0.5, 1.0, 2.0]), 1.7


def base(u):
    return -0.5 * (u**2).sum(1) - 0.5 * D * np.log(2.0 * np.pi), -u


def target(u):
    z = (u - MEAN) / SCALE
    return LOG_Z - 0.5 * (z**2).sum(1) - np.log(SCALE).sum() - 0.5 * D * np.log(2.0 * np.pi), -z / SCALE


BRIDGE = Bridge(base, target, np.ones(D), leaps=2)


def normals(random, count=CHAINS):
    return random.standard_normal((count, D))


@pytest.mark.parametrize("steps", [1, 6, 24])
@pytest.mark.parametrize("step", [0.05, 0.6, 5.0])  # hardly moving, well tuned, mostly rejected
def test_weights_are_unbiased_both_ways_however_badly_chains_mix(steps, step):
    random = np.random.default_rng(steps)
    schedule = Schedule(np.linspace(0.0, 1.0, steps + 1), np.full(steps + 1, step))
    ahead = anneal_forwards(BRIDGE, schedule, normals(random), random)
    back = anneal_backwards(BRIDGE, schedule, MEAN + SCALE * normals(random), random)
    for logs, truth in ((ahead.logs, LOG_Z), (back.logs, -LOG_Z)):
        weights = np.minimum(np.exp(logs - truth), 50.0)  # cut, the mean can only fall, and the variance is finite
        error = weights.std() / np.sqrt(CHAINS)
        assert weights.mean() < 1.0 + Z_LIMIT * error
        if steps == 24 and step == 0.6:
            assert abs(np.exp(logs - truth).mean() - 1.0) < Z_LIMIT * error


def test_a_step_leaves_its_density_as_it_is():
    random = np.random.default_rng(1)
    cloud = BRIDGE.cloud(MEAN + SCALE * normals(random))
    for _ in range(5):
        cloud, accepted = hamiltonian_step(BRIDGE, cloud, 1.0, 0.5, random)
    assert accepted > 0.5
    z = (cloud.u - MEAN) / SCALE
    assert np.abs(z.mean(0)).max() < Z_LIMIT / np.sqrt(CHAINS)
    assert np.abs((z**2).mean(0) - 1.0).max() < Z_LIMIT * np.sqrt(2.0 / CHAINS)
    np.testing.assert_allclose(cloud.high, target(cloud.u)[0])


def test_chains_where_the_target_is_zero_weigh_nothing_and_can_leave():
    def half(u):
        values, slopes = target(u)
        inside = u[:, 0] > 0.0
        return np.where(inside, values, -np.inf), np.where(inside[:, None], slopes, 0.0)

    random = np.random.default_rng(2)
    schedule = Schedule(np.linspace(0.0, 1.0, 9), np.full(9, 0.5))
    passage = anneal_forwards(Bridge(base, half, np.ones(D)), schedule, normals(random), random)
    assert np.isneginf(passage.logs).mean() == pytest.approx(0.5, abs=0.05)
    assert (passage.end.u[np.isfinite(passage.logs), 0] > 0.0).all()
    weights = np.exp(passage.logs)
    inside = 0.97725 * np.exp(LOG_Z)  # P[N(1, ½) > 0]
    assert abs(weights.mean() - inside) < Z_LIMIT * weights.std() / np.sqrt(CHAINS)


def test_an_even_schedule_spends_its_steps_where_the_densities_part():
    random = np.random.default_rng(3)
    first = Schedule(np.linspace(0.0, 1.0, 17) ** 2, np.full(17, 0.5))
    seen = anneal_forwards(BRIDGE, first, normals(random, 500), random, tune=True)
    even = even_bridge(seen, first, 10)
    assert even.t[0] == 0.0
    assert even.t[-1] == 1.0
    assert (np.diff(even.t) > 0.0).all()
    assert (even.step > 0.0).all()
    assert 0.5 < seen.acceptance[-4:].mean() < 0.99
