"""Ready-made posteriors: normalised priors, exact evidences and draws, and models of other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import calipers as cal

Y, ERRORS = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]


def linear(n=7, d=3):
    random = np.random.default_rng(0)
    x = random.normal(size=(n, d))
    return cal.linear_gaussian(x, random.normal(size=n), noise=0.6, prior_scale=[1.0, 2.0, 3.0])


def test_the_evidence_of_linear_regression():
    model = linear()
    x, y = model.data
    with jax.enable_x64(True):
        found = float(model.evidence(model.data))
        keys = jax.random.split(jax.random.key(0), 20_000)
        draws = np.asarray(jax.vmap(lambda k: model.posterior_sample(k, model.data))(keys))
    covariance = x @ np.diag([1.0, 4.0, 9.0]) @ x.T + 0.36 * np.eye(7)
    assert found == pytest.approx(multivariate_normal(np.zeros(7), covariance).logpdf(y), abs=1e-10)
    precision = x.T @ x / 0.36 + np.diag([1.0, 1 / 4.0, 1 / 9.0])
    np.testing.assert_allclose(np.mean(draws, 0), np.linalg.solve(precision, x.T @ y / 0.36), atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(precision), atol=0.05)


@pytest.mark.parametrize(
    "model",
    [
        linear(),
        cal.logistic_regression(np.eye(3), [0, 1, 1], prior_scale=2.0),
        cal.hierarchical_normal(Y, ERRORS),
        cal.hierarchical_normal(Y[:2], ERRORS[:2], centred=True),
        cal.normal_mixture([0.0, 1.0, 2.0, 5.0]),
    ],
    ids=["linear", "logistic", "schools", "centred", "mixture"],
)
def test_priors_are_normalised_and_data_can_be_simulated(model):
    check = cal.check_prior(model)
    assert check.normalised is not False
    assert check.normalised is None or abs(check.log_total) < 5.0 * check.error + 0.01
    with jax.enable_x64(True):
        z = model.prior_sample(jax.random.key(1))
        data = model.simulate(jax.random.key(2), z)
        assert jax.tree.map(np.shape, data) == jax.tree.map(np.shape, model.data)
        assert np.isfinite(model.with_data(data).log_weight(z))
        np.testing.assert_allclose(
            np.concatenate([np.ravel(a) for a in jax.tree.leaves(model.constrain(model.unconstrain(z)))]),
            np.concatenate([np.ravel(a) for a in jax.tree.leaves(z)]),
            rtol=1e-6,
        )


def test_bad_arguments():
    with pytest.raises(ValueError, match="shape"):
        cal.linear_gaussian(np.eye(3), [1.0, 2.0])
    with pytest.raises(ValueError, match="positive"):
        cal.linear_gaussian(np.eye(2), [1.0, 2.0], noise=0.0)
    with pytest.raises(ValueError, match="0 or 1"):
        cal.logistic_regression(np.eye(2), [1.0, 2.0])
    with pytest.raises(ValueError, match="positive errors"):
        cal.hierarchical_normal([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="two components"):
        cal.normal_mixture([1.0, 2.0], components=1)


def test_a_numpyro_model_is_the_same_density():
    numpyro = pytest.importorskip("numpyro")
    dist = numpyro.distributions

    def schools(errors, y=None):
        mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
        theta = numpyro.sample("theta", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
        numpyro.sample("y", dist.Normal(mu + tau * theta, errors).to_event(1), obs=y)

    ours, theirs = cal.hierarchical_normal(Y, ERRORS), cal.from_numpyro(schools, np.array(ERRORS), y=np.array(Y))
    assert theirs.dimension == 10
    with jax.enable_x64(True):
        x = {"mu": jnp.asarray(1.0), "tau": jnp.asarray(2.0), "theta": jnp.linspace(-1.0, 1.0, 8)}
        u, v = ours.unconstrain(x), theirs.unconstrain(x)
        assert float(theirs.flat_log_weight(v)) == pytest.approx(float(ours.flat_log_weight(u)), abs=1e-9)
        assert float(theirs.log_weight(theirs.constrain(v))) == pytest.approx(float(ours.log_weight(x)), abs=1e-9)
    with pytest.raises(ValueError, match="discrete"):
        cal.from_numpyro(lambda: numpyro.sample("k", dist.Bernoulli(0.5)))


class Exponential:
    """What bridgestan gives for `parameters { real<lower=0> s; } model { s ~ exponential(2); }`."""

    def param_unc_num(self):
        return 1

    def param_num(self):
        return 1

    def log_density(self, u, propto=True, jacobian=True):
        return float(np.log(2.0) - 2.0 * np.exp(u[0]) + (u[0] if jacobian else 0.0))

    def log_density_gradient(self, u, propto=True, jacobian=True):
        if u[0] > 300.0:
            raise RuntimeError("reject")
        return self.log_density(u, propto, jacobian), np.array([-2.0 * np.exp(u[0]) + jacobian])

    def param_constrain(self, u):
        return np.exp(u)

    def param_unconstrain(self, x):
        return np.log(x)


def test_a_stan_program():
    with pytest.warns(UserWarning, match="factor 2"):
        model = cal.from_stan(Exponential())
    with jax.enable_x64(True):
        u = jnp.array([0.3])
        assert float(model.flat_log_weight(u)) == pytest.approx(Exponential().log_density(u))
        assert float(jax.grad(model.flat_log_weight)(u)[0]) == pytest.approx(1.0 - 2.0 * np.exp(0.3))
        assert float(model.log_weight(model.constrain(u))) == pytest.approx(np.log(2.0) - 2.0 * np.exp(0.3))
        assert model.flat_log_weight(jnp.array([301.0])) == -np.inf
    assert cal.log_z(model, cal.GaussianVI(starts=2), check=False, gap=0.1).stats["estimate"] == pytest.approx(
        0, abs=0.05
    )
    with pytest.raises(TypeError, match=r"bridgestan\.StanModel"):
        cal.from_stan("model {}")
