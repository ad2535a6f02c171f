"""Minibatches: unbiased, resumable bit for bit, and as good as the formula where there is one."""

import dataclasses
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal
from calipers import zoo
from calipers.io.shuffle import Place, Shuffle
from calipers.testing import check_method
from calipers.variational.approximation import Elliptical
from calipers.variational.gaussian_families import family
from calipers.variational.stochastic import stl_gradient
from calipers.variational.streamed_run import StreamedRun
from calipers.variational.streamed_target import StreamedTarget
from calipers.variational.target import Target

NOISE, SCALE = 0.7, 2.0


def linear(n=3000, d=4, seed=0):
    """A conjugate regression, its rows as a stream, and its posterior's mean and covariance."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, d)) @ (np.eye(d) + 0.5 * np.tri(d))
    y = x @ np.arange(1.0, d + 1) + NOISE * random.normal(size=n)
    known = cal.linear_gaussian(x, y, noise=NOISE, prior_scale=SCALE)
    covariance = np.linalg.inv(x.T @ x / NOISE**2 + np.eye(d) / SCALE**2)
    return known, streamed(known), covariance @ (x.T @ y) / NOISE**2, covariance


def streamed(posterior):
    rows = cal.Rows.arrays(posterior.data)
    return cal.StreamedPosterior(
        posterior.log_prior, posterior.log_likelihood, rows, prior_sample=posterior.prior_sample
    )


SMALL = cal.StochasticVI(batch=256, piece=200, window=4)


def test_it_finds_the_conjugate_posterior():
    known, model, mean, covariance = linear()
    answer = cal.log_z(model, SMALL, key=jax.random.key(1), time_limit=300.0)
    q, sd = answer.belief.approximation, np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((q.mean - mean) / sd, 0.0, atol=0.05)
    np.testing.assert_allclose(q.covariance / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.05)
    exact = cal.log_z(known, cal.Conjugate()).value
    assert abs(answer.value - exact) < 4.0 * answer.stats["std_error"] + 1e-6
    assert answer.stats["elbo"] < exact + 4.0 * answer.stats["elbo_error"]
    assert answer.stats["settled"]
    assert answer.lower.value == -math.inf
    assert answer.upper.value == math.inf


def test_mean_field_has_its_known_gap():
    known, model, _, covariance = linear()
    answer = cal.log_z(model, dataclasses.replace(SMALL, rank="diagonal"), time_limit=300.0, check=False)
    q, precision = answer.belief.approximation, np.linalg.inv(covariance)
    np.testing.assert_allclose(q.factor**2 * np.diag(precision), 1.0, atol=0.06)
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    exact = cal.log_z(known, cal.Conjugate()).value
    assert answer.stats["elbo"] == pytest.approx(exact - gap, abs=5.0 * answer.stats["elbo_error"] + 0.01)


def test_the_minibatch_gradient_is_unbiased(monkeypatch):
    """Over all beginnings of an epoch, a batch's gradients average to that of all rows: no statistics needed."""
    n, d = 60, 3
    random = np.random.default_rng(3)
    x = random.normal(size=(n, d))
    known = cal.logistic_regression(x, (random.random(n) < 0.4).astype(float))
    model, full = streamed(known), Target(known)
    target = StreamedTarget(model, 7, 10)
    trial = family("full", Elliptical(np.full(d, 0.2), 0.5 * np.eye(d)))
    theta, z = trial.first() + 0.1, random.standard_normal((5, trial.noise))
    anchor = target.anchored(np.array([0.5, -0.3, 0.1]))
    found = []
    for r in range(n):
        monkeypatch.setattr(Shuffle, "begin", lambda self, epoch, r=r: r)
        rows, _ = Shuffle(model.rows, 7, piece=9, window=2, seed=[1]).take(Place(0, 11))
        gradient, value = stl_gradient(partial(target.minibatch, rows=rows, anchor=anchor), trial, theta, z)
        found.append([*gradient, value])
    gradient, value = stl_gradient(full.gradients, trial, theta, z)
    np.testing.assert_allclose(np.mean(found, axis=0), [*gradient, value], rtol=1e-10, atol=1e-10)
    assert np.std(found, axis=0).max() > 1e-3  # one batch is noisy


def test_passes_are_exact():
    known, model, *_ = linear(1000)
    target, u = StreamedTarget(model, 77, 200), np.random.default_rng(0).normal(size=(6, 4))
    values, slopes = Target(known).gradients(u)
    np.testing.assert_allclose(target.log_weights(u), values, rtol=1e-12)
    prior, pull = target.prior_slope(u[0])
    anchor = target.anchored(u[0])
    assert anchor.value + prior == pytest.approx(values[0], rel=1e-12)
    np.testing.assert_allclose(anchor.slope + pull, slopes[0], rtol=1e-9)
    assert model.log_weight(u[0]) == pytest.approx(values[0], rel=1e-5)  # outside of x64


def test_constraints_are_kept():
    """Scale of a normal, known mean: with a flat prior of log σ, σ² is inverse gamma."""
    y = 3.0 * np.random.default_rng(0).normal(size=2000)
    model = cal.StreamedPosterior(
        lambda z: -jnp.log(z["sigma"]),
        lambda z, y: (-0.5 * (y / z["sigma"]) ** 2 - jnp.log(z["sigma"])).sum(),
        cal.Rows.arrays(y),
        example={"sigma": np.ones(())},
        constraints={"sigma": cal.Positive()},
    )
    run = StreamedRun(model, SMALL, [0])
    while not run.ascent.over:
        run.advance()
    half = 0.5 * len(y)
    u, logs = run.q.draw(np.random.default_rng(1), 4096)
    true = math.sqrt((y @ y) / 2.0) * math.exp(math.lgamma(half - 0.5) - math.lgamma(half))
    assert float(np.exp(u).mean()) == pytest.approx(true, rel=2e-3)
    weights = run.target.log_weights(u) - logs
    exact = math.lgamma(half) - half * math.log(0.5 * (y @ y)) - math.log(2.0)
    assert np.logaddexp.reduce(weights) - math.log(4096) == pytest.approx(exact, abs=2e-3)
    assert weights.std() < 0.1


def same(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_run_goes_on_bit_for_bit(tmp_path):
    _, model, *_ = linear(1000)
    method = dataclasses.replace(SMALL, checkpoint=str(tmp_path / "run.npz"))
    whole = StreamedRun(model, dataclasses.replace(method, checkpoint=None), [7])
    parted = StreamedRun(model, method, [7])
    for step in range(330):
        if step in (50, 201, 317):
            parted.save()
            parted = StreamedRun(model, method, [7])
        whole.advance()
        parted.advance()
    same(whole.ascent.arrays(), parted.ascent.arrays())
    assert whole.place == parted.place
    np.testing.assert_array_equal(whole.anchor.point, parted.anchor.point)
    with pytest.raises(ValueError, match="of another run: its seed"):
        StreamedRun(model, method, [8])
    with pytest.raises(ValueError, match="of another run: its model"):
        StreamedRun(linear(1000, seed=1)[1], method, [7])
    with pytest.raises(ValueError, match="of another run: its method"):
        StreamedRun(model, dataclasses.replace(method, draws=4), [7])


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import dataclasses, jax, numpy as np, calipers as cal
from test_stochastic_vi import SMALL, linear
method = dataclasses.replace(SMALL, checkpoint=sys.argv[1], checkpoint_seconds=0.0, tolerance=1e-9, steps=600)
answer = cal.log_z(linear(1000)[1], method, key=jax.random.key(2), time_limit=300.0, check=False)
print(answer.stats["estimate"].hex(), answer.stats["iterations"], answer.belief.approximation.mean.tobytes().hex())
"""


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    code = textwrap.dedent(SCRIPT.format(folder=os.path.dirname(__file__)))
    command = [sys.executable, "-c", code]
    whole = subprocess.run([*command, tmp_path / "a.npz"], capture_output=True, text=True, check=True).stdout
    killed = subprocess.Popen([*command, tmp_path / "b.npz"], stdout=subprocess.PIPE)
    while True:  # until steps are under way
        time.sleep(0.01)
        if (tmp_path / "b.npz").exists() and np.load(tmp_path / "b.npz")["ascent:numbers"][1] > 20:
            break
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    assert killed.communicate()[0] == b""
    again = subprocess.run([*command, tmp_path / "b.npz"], capture_output=True, text=True, check=True).stdout
    assert again == whole


def test_steps_or_time_that_end_too_soon_are_said():
    _, model, *_ = linear(1000)
    answer = cal.log_z(model, dataclasses.replace(SMALL, steps=5), time_limit=300.0, check=False)
    assert answer.result is cal.Result.UNCONVERGED
    assert answer.value is None
    assert not answer.stats["settled"]
    assert math.isfinite(answer.stats["estimate"])


def test_progress_is_told(monkeypatch):
    monkeypatch.setattr("calipers.variational.stochastic_vi._EVERY", 0.0)
    _, model, *_ = linear(1000)
    answers = list(cal.iterate(model, dataclasses.replace(SMALL, steps=5)))
    epochs = [a.stats["epochs"] for a in answers if "epochs" in a.stats]
    assert epochs[:3] == pytest.approx([0.256, 0.512, 0.768])
    assert all(a.stats["rows_per_second"] > 0.0 for a in answers if "epochs" in a.stats)
    assert answers[3].stats["seconds_left_at_most"] > 0.0


@pytest.mark.parametrize("method", [cal.DivergenceVI(), cal.DivergenceVI(alpha=2.0), cal.GaussianVI(), cal.Flow()])
def test_objectives_that_minibatches_would_bias_are_refused(method):
    with pytest.raises(cal.Refusal, match="Jensen"):
        cal.log_z(linear(100)[1], method)


def test_a_subset_is_an_ordinary_posterior():
    known, model, *_ = linear(200)
    exact = cal.log_z(known, cal.Conjugate()).value
    assert cal.log_z(model.subset(0, 200), cal.GaussianVI()).value == pytest.approx(exact, abs=1e-5)


def test_bad_input_is_told():
    known, *_ = linear(50)
    rows = cal.Rows.arrays(known.data)
    with pytest.raises(ValueError, match="must be the sum"):
        cal.StreamedPosterior(
            known.log_prior, lambda z, r: known.log_likelihood(z, r) / len(r[1]), rows, prior_sample=known.prior_sample
        )
    with pytest.raises(TypeError, match=r"cal\.Rows"):
        cal.StreamedPosterior(known.log_prior, known.log_likelihood, known.data, prior_sample=known.prior_sample)
    with pytest.raises(ValueError, match="batch is 0"):
        cal.StochasticVI(batch=0)
    with pytest.raises(ValueError, match="rank"):
        cal.StochasticVI(rank="some")
    with pytest.raises(cal.Refusal, match="StreamedPosterior"):
        cal.log_z(known, cal.StochasticVI())
    with pytest.raises(cal.Refusal, match="GB"):
        cal.log_z(streamed(known), cal.StochasticVI(), memory=10.0)


def test_the_contract():
    known, model, *_ = linear(500)
    exact = cal.log_z(known, cal.Conjugate()).value
    check_method(SMALL, key=jax.random.key(0), models=[zoo.ZooModel("rows", model, exact)])
    with pytest.raises(AssertionError, match="refused every model"):
        check_method(SMALL, key=jax.random.key(0))


def test_auto_hands_rows_to_it():
    _, model, *_ = linear(500)
    chosen, asked = (
        cal.log_z(model, method, key=jax.random.key(0), time_limit=300.0) for method in (None, cal.StochasticVI())
    )
    assert chosen.value == asked.value
    assert chosen.value is not None
