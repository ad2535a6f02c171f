"""Continuous models: flat vector and parameters carry the same mass; a posterior is its prior and likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal


def log_prior(z):
    return -0.5 * z["mean"] ** 2 - z["scale"] - 0.5 * jnp.log(2 * jnp.pi)


def log_likelihood(z, data):
    return jnp.sum(-0.5 * ((data - z["mean"]) / z["scale"]) ** 2 - jnp.log(z["scale"]) - 0.5 * jnp.log(2 * jnp.pi))


def prior_sample(key):
    a, b = jax.random.split(key)
    return {"mean": jax.random.normal(a), "scale": jax.random.exponential(b)}


DATA = np.array([0.3, -1.2, 0.8])


@pytest.fixture
def posterior():
    return cal.Posterior(
        log_prior, log_likelihood, DATA, prior_sample=prior_sample, constraints={"scale": cal.Positive()}
    )


def test_flat_and_constrained_are_one_measure(posterior):
    with jax.enable_x64(True):
        x = {"mean": jnp.asarray(0.4), "scale": jnp.asarray(1.7)}
        u = posterior.unconstrain(x)
        np.testing.assert_allclose(u, [0.4, np.log(1.7)])
        assert jax.tree.all(jax.tree.map(lambda a, b: jnp.allclose(a, b), posterior.constrain(u), x))
        expected = log_prior(x) + log_likelihood(x, DATA) + np.log(1.7)
        assert float(posterior.flat_log_weight(u)) == pytest.approx(float(expected))
        parts = posterior.flat_log_prior(u) + posterior.flat_log_likelihood(u)
        assert float(posterior.flat_log_weight(u)) == pytest.approx(float(parts))
        assert u.dtype == jnp.float64


def test_other_data_compile_nothing_new(posterior):
    traces = []

    @jax.jit
    def weight(data, u):
        traces.append(None)
        return posterior.with_data(data).flat_log_weight(u)

    with jax.enable_x64(True):
        first, second = weight(DATA, jnp.zeros(2)), weight(DATA + 1.0, jnp.zeros(2))
    assert len(traces) == 1
    assert first != second
    assert posterior.with_data({"y": 1.0}).data == {"y": 1.0}


def test_prior_draws_are_on_the_flat_space(posterior):
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 2000)
        draws = np.asarray(jax.vmap(posterior.flat_prior_sample)(keys))
    assert draws.shape == (2000, 2)
    assert abs(np.exp(draws[:, 1]).mean() - 1.0) < 4.0 / np.sqrt(2000)


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="prior_sample or example"):
        cal.Posterior(log_prior, log_likelihood, DATA)
    lacking = cal.Posterior(log_prior, log_likelihood, DATA, example={"mean": 0.0, "scale": 1.0})
    with pytest.raises(ValueError, match="cannot draw from its prior"):
        lacking.flat_prior_sample(jax.random.key(0))
    with pytest.raises(ValueError, match="belongs to no parameter"):
        cal.EnergyModel(log_prior, {"mean": 0.0, "scale": 1.0}, {"sigma": cal.Positive()})
    with pytest.raises(ValueError, match="a bijector is needed"):
        cal.EnergyModel(log_prior, {"mean": 0.0, "scale": 1.0}, {"scale": "positive"})
    with pytest.raises(ValueError, match="no arrays"):
        cal.EnergyModel(log_prior, {})
    with pytest.raises(ValueError, match="not of this model"):
        lacking.unconstrain({"mean": 0.0})


def test_an_energy_over_a_nested_pytree():
    with jax.enable_x64(True):
        example = {"a": [jnp.zeros(2), jnp.zeros((3, 3))], "p": jnp.ones(3) / 3}
        model = cal.EnergyModel(
            lambda x: -jnp.sum(x["a"][0] ** 2), example, {"p": cal.Simplex(), "a": [cal.Positive()]}
        )
        assert model.dimension == 2 + 9 + 2
        x = model.constrain(jnp.arange(13.0) / 13)
        assert (x["a"][0] > 0).all()
        np.testing.assert_allclose(x["p"].sum(), 1.0)
        np.testing.assert_allclose(model.unconstrain(x), jnp.arange(13.0) / 13, atol=1e-12)
        assert model.space.coordinate_names()[-1] == "['p'][1]"
