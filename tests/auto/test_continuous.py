"""Auto on densities over reals: known evidences are met, modes are found, and bad answers are refused in words."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import calipers as cal
from calipers.variational.assessment import summarise
from calipers.variational.verdict import judge


def test_a_conjugate_model_is_exact():
    x = np.stack([np.ones(8), np.arange(8.0)], 1)
    answer = cal.log_z(cal.linear_gaussian(x, x @ [1.0, 0.5]))
    assert answer.exact
    covariance = x @ x.T + np.eye(8)
    y = x @ [1.0, 0.5]
    expected = -0.5 * (
        y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1] + 8 * math.log(2 * math.pi)
    )
    assert answer.value == pytest.approx(expected, abs=1e-9)


def test_the_normal_far_from_its_prior():
    """x ~ N(0, 1), y = 10 ~ N(x, ½): the default of many tools ends at a mean of 3, without a warning."""
    model = cal.Posterior(
        lambda z: norm.logpdf(z), lambda z, y: norm.logpdf(y, z, 0.5), np.float64(10.0), prior_sample=jax.random.normal
    )
    answer = cal.log_z(model)
    assert answer.value == pytest.approx(-41.0305103089, abs=1e-6)
    assert float(answer.belief.mean) == pytest.approx(8.0, abs=0.05)
    assert answer.stats["verdict"].startswith("trust: ")
    assert not np.isfinite([answer.lower.value, answer.upper.value]).any()  # estimates are never sides


def two_humps(z):
    return jnp.logaddexp(math.log(0.3) + norm.logpdf(z, -4.0).sum(), math.log(0.7) + norm.logpdf(z, 4.0).sum())


def test_two_modes_are_both_found():
    answer = cal.log_z(cal.EnergyModel(two_humps, np.zeros(11)))
    assert answer.value == pytest.approx(0.0, abs=0.01)
    assert answer.belief.mean[0] == pytest.approx(4.0 * 0.4, abs=0.1)


def test_a_funnel():
    def log_density(z):
        return norm.logpdf(z[0], 0.0, 3.0) + norm.logpdf(z[1:], 0.0, jnp.exp(0.5 * z[0])).sum()

    answer = cal.log_z(cal.EnergyModel(log_density, np.zeros(5)), time_limit=600.0)
    assert answer.value == pytest.approx(0.0, abs=0.05)
    assert abs(answer.value) < 5.0 * answer.stats["std_error"] + 0.005


def test_a_prior_without_its_factor_is_refused_with_the_cure():
    model = cal.Posterior(
        lambda z: norm.logpdf(z),
        lambda z, y: norm.logpdf(y, 0.0, z),
        np.float64(0.7),
        prior_sample=lambda key: jnp.abs(jax.random.normal(key)),
        constraints=cal.Positive(),
    )
    with pytest.raises(cal.Misleading, match=r"not normalised.* log 2") as caught:
        cal.log_z(model)
    answer = caught.value.answer
    assert answer.value is None
    assert answer.result is cal.Result.MISLEADING
    assert cal.log_z(model, check=False).stats["trust"] == "none"
    whole = cal.Posterior(
        lambda z: norm.logpdf(z) + math.log(2.0),
        model.log_likelihood,
        model.data,
        prior_sample=model.prior_sample,
        constraints=cal.Positive(),
    )
    assert cal.check_prior(whole).normalised


def test_a_density_that_is_nowhere_finite_is_refused():
    with pytest.raises(cal.Refusal, match="no start"):
        cal.log_z(cal.EnergyModel(lambda z: jnp.sum(z) * jnp.nan, np.zeros(2)))


def test_the_same_key_gives_the_same_answer():
    model = cal.logistic_regression(np.arange(12.0).reshape(6, 2) / 6.0, [0, 1, 0, 1, 1, 1])
    values = [cal.log_z(model, key=jax.random.key(s)).value for s in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    assert values[0] == pytest.approx(values[2], abs=0.03)


def test_verdicts():
    random = np.random.default_rng(0)
    u = random.normal(size=(5000, 2))
    good = summarise(None, u, 0.1 * random.normal(size=5000))
    assert judge(good).level == "trust"
    heavy = summarise(None, u, 1.5 * random.exponential(size=5000))
    assert judge(heavy).level != "trust"
    assert judge(good, unseen=0.5).level == "none"
    assert judge(good, prior="it is wrong").level == "none"
    higher = summarise(None, u, 0.1 * random.normal(size=5000) + 1.0)
    assert "nats more" in judge(good, rival=higher).words
    assert judge(summarise(None, u, np.full(5000, -np.inf))).level == "none"


def test_weights_without_a_tail_are_named_so():
    exactly = cal.Posterior(
        norm.logpdf, lambda z, y: norm.logpdf(y, z, 0.5), np.float64(2.0), prior_sample=jax.random.normal
    )
    stats = cal.log_z(exactly, key=jax.random.key(0)).stats
    assert stats["k_hat"] == -np.inf
    assert stats["verdict"].startswith("trust: weights without a tail, ")
