"""Weighted draws of a fit: their names, their resampling, and what ArviZ is given of them."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import calipers as cal


@pytest.fixture(scope="module")
def answer():
    """A gamma(3, 1) scale and a skewed pair: exact moments known, q off by a little."""

    def log_density(p):
        bend = norm.logpdf(p["pair"][0]) + norm.logpdf(p["pair"][1], 0.3 * p["pair"][0] ** 2, 1.0)
        return 2.0 * jnp.log(p["scale"]) - p["scale"] - jnp.log(2.0) + bend

    model = cal.EnergyModel(log_density, {"scale": 1.0, "pair": np.zeros(2)}, constraints={"scale": cal.Positive()})
    return cal.log_z(model, cal.GaussianVI())


def test_log_weights_are_those_of_the_estimate(answer):
    cloud = answer.belief
    assert cloud.log_weights.shape == cloud.weights.shape
    plain = float(np.logaddexp.reduce(cloud.log_weights)) - np.log(len(cloud.log_weights))
    assert plain == pytest.approx(answer.stats["estimate"], abs=0.05)
    assert abs(plain) < 0.1  # the density is normalised
    bulk = cloud.weights < np.quantile(cloud.weights, 0.7)
    ratio = np.log(cloud.weights[bulk]) - cloud.log_weights[bulk]
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-9)  # smoothing leaves the bulk


def test_parameters_by_name(answer):
    columns = answer.belief.columns()
    assert {name: x.shape[1:] for name, x in columns.items()} == {"pair": (2,), "scale": ()}
    lone = cal.log_z(cal.EnergyModel(lambda u: -0.5 * u @ u, np.zeros(2)), cal.GaussianVI())
    assert list(lone.belief.columns()) == ["x"]


def test_inference_data(answer, tmp_path):
    arviz = pytest.importorskip("arviz")
    data = answer.belief.to_arviz()
    count = int(answer.belief.effective_size)
    assert data.posterior["scale"].dims == ("chain", "draw")
    assert data.posterior["pair"].dims == ("chain", "draw", "pair_dim_0")
    assert data.posterior["pair"].shape == (1, count, 2)
    assert data.sample_stats["log_weight"].shape == (1, count)
    assert data.sample_stats["unconstrained"].shape == (1, count, 3)
    scale = data.posterior["scale"].values
    assert (scale > 0.0).all()
    # a gamma(3): mean 3, variance 3; resampled, so that q's own error is gone
    assert abs(scale.mean() - 3.0) < 5.0 * np.sqrt(3.0 * 2.0 / count)
    assert abs(data.posterior["pair"].values[..., 1].mean() - 0.3) < 5.0 * np.sqrt(2.0 * 1.2 / count)
    facts = data.posterior.attrs
    assert facts["verdict"] == answer.stats["verdict"]
    assert facts["k_hat"] == answer.stats["k_hat"]
    assert facts["estimate"] == answer.stats["estimate"]
    assert float(arviz.ess(data, var_names=["scale"])["scale"]) > 0.5 * count
    data.to_netcdf(str(tmp_path / "fit.nc"))
    again = arviz.from_netcdf(str(tmp_path / "fit.nc"))
    assert again.posterior.attrs["verdict"] == answer.stats["verdict"]


def test_each_draw_keeps_its_own_log_weight(answer):
    pytest.importorskip("arviz")
    cloud = answer.belief
    data = cloud.to_arviz(50, seed=3)
    same = cloud.to_arviz(50, seed=3)
    assert np.array_equal(data.posterior["scale"], same.posterior["scale"])
    for value, weight in zip(data.posterior["scale"].values[0], data.sample_stats["log_weight"].values[0], strict=True):
        (place,) = np.flatnonzero(cloud.draws["scale"] == value)
        assert cloud.log_weights[place] == weight
    with pytest.raises(ValueError, match="count"):
        cloud.to_arviz(0)


def test_a_missing_extra_is_named(answer, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"calipers\[arviz\]"):
        answer.belief.to_arviz()
