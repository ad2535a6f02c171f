"""Autocorrelation times, effective sizes and R̂ against processes whose values are known. Fixed seeds."""

import numpy as np
import pytest
from scipy.signal import lfilter

import calipers as cal
from calipers.sampling.diagnostics import TooShort, autocorrelation
from calipers.sampling.estimates import jackknife


def autoregressive(a, chains, t, seed=0):
    """x_t = a x_{t−1} + noise, stationary: τ = (1 + a)/(1 − a), variance 1."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, t)) * np.sqrt(1 - a * a)
    noise[:, 0] /= np.sqrt(1 - a * a)
    return lfilter([1.0], [1.0, -a], noise, axis=1)


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_tau_of_an_autoregressive_process(a):
    x, tau = autoregressive(a, 4, 50_000), (1 + a) / (1 - a)
    found = float(cal.autocorrelation_time(x))
    assert found == pytest.approx(tau, rel=0.1)
    assert float(cal.effective_size(x)) == pytest.approx(x.size / found)
    assert autocorrelation(x)[:4] == pytest.approx(a ** np.arange(4), abs=0.05)


def test_all_series_at_once():
    x = np.stack([autoregressive(a, 3, 4000, seed=7) for a in (0.2, 0.7)], axis=-1)
    for f in (cal.autocorrelation_time, cal.effective_size, cal.split_r_hat):
        assert f(x) == pytest.approx([float(f(x[..., k])) for k in range(2)])


def test_a_short_chain_raises_with_the_estimate():
    x = autoregressive(0.99, 2, 1000)  # five autocorrelation times
    with pytest.raises(TooShort, match="50 are needed") as caught:
        cal.autocorrelation_time(x)
    assert float(caught.value.tau) == pytest.approx(float(cal.autocorrelation_time(x, check=False)))


def test_r_hat():
    good = autoregressive(0.5, 4, 5000)
    assert float(cal.split_r_hat(good)) == pytest.approx(1.0, abs=0.005)
    assert float(cal.split_r_hat(good + np.arange(4)[:, None])) > 1.2  # chains that disagree
    assert float(cal.split_r_hat(good + np.linspace(0, 3, 5000))) > 1.2  # a drift, the same in all of them
    with pytest.raises(ValueError, match="4 measurements"):
        cal.split_r_hat(good[:, :3])


def test_a_constant_series_says_nothing():
    x = np.full((2, 100), 3.0)
    assert np.isnan(cal.autocorrelation_time(x))
    assert np.isnan(cal.split_r_hat(x))
    assert float(cal.effective_size(x)) == 0.0
    with pytest.raises(ValueError, match="shape"):
        cal.autocorrelation_time(np.zeros(5))


def test_jackknife_errors_are_those_of_repetition():
    """The spread of 200 runs against the mean error bar of mean and variance; both within 15 %."""
    tau = 3.0
    runs = [autoregressive(0.5, 2, 2000, seed=s) for s in range(200)]
    for function in (lambda a, b: a, lambda a, b: b - a * a):
        found = [jackknife([x, x**2], function, tau) for x in runs]
        spread = np.std([f.value for f in found])
        assert np.sqrt(np.mean([f.error**2 for f in found])) == pytest.approx(spread, rel=0.15)
