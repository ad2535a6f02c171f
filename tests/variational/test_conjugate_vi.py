"""Natural gradients: unbiased, monotone with all rows, exact where nothing is latent, and never above log Z."""

import dataclasses
import itertools
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import flint
import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, multigammaln

import calipers as cal
from calipers import zoo
from calipers.io.shuffle import Place, Shuffle
from calipers.testing import check_method
from calipers.variational.conjugate_run import ConjugateRun
from calipers.variational.conjugate_target import ConjugateTarget

SMALL = cal.ConjugateVI(batch=128, piece=200, window=4)


def points(n=3000, seed=0, apart=4.0):
    """Rows of three planar Gaussians."""
    random = np.random.default_rng(seed)
    means = apart * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    z = random.choice(3, n, p=[0.5, 0.3, 0.2])
    return means[z] + random.normal(size=(n, 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]])


def mixture(n=3000, k=3, **options):
    return cal.gaussian_mixture(cal.Rows.arrays(points(n, **options)), k, shrinkage=0.1)


def block_evidence(x, d, kappa=0.1, nu=4.0, scatter=1.0):
    """log evidence of Gaussian rows under a Normal–Wishart around 0 (Bishop's and Murphy's formula, in plain NumPy)."""
    n, after = len(x), kappa + len(x)
    mean = x.mean(0) if n else np.zeros(d)
    centred = x - mean
    wide = scatter * np.eye(d) + centred.T @ centred + kappa * n / after * np.outer(mean, mean)
    return (
        -0.5 * n * d * math.log(math.pi)
        + multigammaln(0.5 * (nu + n), d)
        - multigammaln(0.5 * nu, d)
        + 0.5 * nu * d * math.log(scatter)
        - 0.5 * (nu + n) * np.linalg.slogdet(wide)[1]
        + 0.5 * d * math.log(kappa / after)
    )


def enumerated(x, k):
    """log evidence of a mixture, by adding up every assignment of its rows."""
    n, d = x.shape
    logs = []
    for assignment in itertools.product(range(k), repeat=n):
        z = np.array(assignment)
        counts = np.bincount(z, minlength=k)
        weight = gammaln(k) - gammaln(n + k) + gammaln(1.0 + counts).sum()
        logs.append(weight + sum(block_evidence(x[z == j], d) for j in range(k)))
    return float(np.logaddexp.reduce(logs))


@pytest.mark.parametrize("seed", range(6))
def test_it_stays_below_the_sum_over_all_assignments(seed):
    x = points(8, seed=seed)
    exact = enumerated(x, 2)
    model = cal.gaussian_mixture(cal.Rows.arrays(x), 2, shrinkage=0.1)
    answer = cal.log_z(model, SMALL, key=jax.random.key(seed), time_limit=300.0)
    assert answer.lower.value < exact
    assert answer.lower.grounds == "computed"
    assert answer.lower.value > exact - 4.0
    assert answer.upper.value == math.inf


def test_the_bound_holds_for_any_m():
    """Theorem M1: m need not be a mean, nor the best; and at any m one component gives log Z itself."""
    x = points(7, seed=3)
    random = np.random.default_rng(0)
    for k in (1, 2):
        target = ConjugateTarget(cal.gaussian_mixture(cal.Rows.arrays(x), k, shrinkage=0.1), 4, 5)
        exact = block_evidence(x, 2) if k == 1 else enumerated(x, 2)
        bounds = [target.whole(random.normal(size=len(target.prior))).bound for _ in range(200)]
        assert max(bounds) < exact + 1e-9 * abs(exact)
        if k == 1:
            np.testing.assert_allclose(bounds, exact, rtol=1e-10)
        else:
            assert max(bounds) > exact - 5.0


def test_regression_is_exact():
    random = np.random.default_rng(1)
    x = np.column_stack([np.ones(500), random.normal(size=(500, 2))])
    y = x @ [1.0, -2.0, 0.5] + 0.3 * random.normal(size=500)
    model = cal.conjugate_regression(cal.Rows.arrays((x, y)), prior_scale=2.0, shape=1.5, rate=0.7)
    answer = cal.log_z(model, SMALL, time_limit=300.0)
    scale = 0.7 / 1.5 * (np.eye(500) + 4.0 * x @ x.T)
    exact = stats.multivariate_t(np.zeros(500), scale, df=3.0).logpdf(y)
    assert answer.value == pytest.approx(exact, abs=1e-8)
    assert answer.lower.value < exact + 1e-12 < answer.lower.value + 1e-5
    natural = answer.belief.natural
    expected = np.linalg.solve(x.T @ x + np.eye(3) / 4.0, x.T @ y)
    np.testing.assert_allclose(np.linalg.solve(natural["gram"], natural["pull"]), expected, rtol=1e-10)


def test_moments_are_those_of_the_family():
    """∇A against the textbook: E[log π], E[Λ], E[log |Λ|]."""
    from scipy.special import digamma

    target = ConjugateTarget(mixture(50), 16, 50)
    p = target.prior + np.abs(target.whole(np.zeros_like(target.prior)).statistics)
    tree, m = target.tree(p), target.tree(target.log_normaliser(p)[1])
    np.testing.assert_allclose(m["weight"], digamma(tree["weight"]) - digamma(tree["weight"].sum()), rtol=1e-9)
    nu, mean = tree["count"] + 2.0, tree["sum"] / tree["shrinkage"][:, None]
    w = np.linalg.inv(tree["square"] - tree["shrinkage"][:, None, None] * mean[:, :, None] * mean[:, None, :])
    np.testing.assert_allclose(m["square"], -0.5 * nu[:, None, None] * w, rtol=1e-9)
    log_det = digamma(0.5 * nu) + digamma(0.5 * (nu - 1.0)) + 2.0 * math.log(2.0) + np.linalg.slogdet(w)[1]
    np.testing.assert_allclose(m["count"], 0.5 * log_det, rtol=1e-9)


def test_the_log_weight_is_prior_times_likelihood():
    x = points(20)
    model = cal.gaussian_mixture(cal.Rows.arrays(x), 2, shrinkage=0.1, location=[0.5, 1.0], degrees=5.0)
    theta = {
        "weights": np.array([0.3, 0.7]),
        "means": np.array([[0.0, 1.0], [2.0, -1.0]]),
        "precisions": np.array([np.eye(2), [[2.0, 0.3], [0.3, 1.0]]]),
    }
    parts = list(zip(theta["weights"], theta["means"], theta["precisions"], strict=True))
    normal = stats.multivariate_normal
    mixed = sum(w * normal(m, np.linalg.inv(p)).pdf(x) for w, m, p in parts)
    prior = math.lgamma(2.0) + np.log(theta["weights"]).sum()  # against dπ/π, the family's own measure
    prior += sum(normal([0.5, 1.0], np.linalg.inv(0.1 * p)).logpdf(m) for _, m, p in parts)
    prior += sum(stats.wishart(5.0, np.eye(2)).logpdf(p) for *_, p in parts)
    assert model.log_weight(theta) == pytest.approx(np.log(mixed).sum() + prior, rel=1e-6)


def test_minibatch_statistics_are_unbiased(monkeypatch):
    """Over all beginnings of an epoch, natural gradients average to that of all rows."""
    n = 60
    model = mixture(n)
    target, p = ConjugateTarget(model, 7, 10), ConjugateRun(model, SMALL, [0]).p
    m, found = target.log_normaliser(p)[1], []
    for r in range(n):
        monkeypatch.setattr(Shuffle, "begin", lambda self, epoch, r=r: r)
        rows, _ = Shuffle(model.rows, 7, piece=9, window=2, seed=[1]).take(Place(0, 11))
        found.append(n / 7 * target.local(m, rows)[1])
    whole = target.whole(m).statistics
    np.testing.assert_allclose(np.mean(found, axis=0), whole, rtol=1e-10, atol=1e-10)
    assert np.std(found, axis=0).max() > 0.1


def test_all_rows_in_a_batch_are_coordinate_ascent_and_monotone():
    model = mixture(600, apart=2.0)
    run = ConjugateRun(model, dataclasses.replace(SMALL, batch=10**6, tolerance=1e-9, starts=1), [2])
    run.p = run.target.flat(model.begin(points(600, apart=2.0)[:50], 12.0, np.random.default_rng(5)))  # a poor start
    p, bounds = run.p, []
    for _ in range(12):
        found = run.look()
        bounds.append(found.bound)
        p = run.target.prior + run.target.whole(run.target.log_normaliser(p)[1]).statistics
        np.testing.assert_allclose(run.p, p, rtol=1e-9)
        run.advance()
        p = run.target.prior + run.target.whole(run.target.log_normaliser(p)[1]).statistics
        np.testing.assert_allclose(run.p, p, rtol=1e-9)
    assert (np.diff(bounds) > 0.0).all()
    assert bounds[-1] - bounds[0] > 1.0


def test_minibatches_reach_what_coordinate_ascent_reaches():
    model = mixture(3000, apart=2.5)
    by_rows, by_all = (
        cal.log_z(model, dataclasses.replace(SMALL, **options), key=jax.random.key(1), time_limit=300.0)
        for options in ({"tolerance": 1e-4}, {"tolerance": 1e-5, "batch": 10**6})
    )
    assert by_rows.stats["settled"]
    assert by_rows.value == pytest.approx(by_all.value, abs=0.02)
    means = by_rows.belief.natural["sum"] / by_rows.belief.natural["shrinkage"][:, None]
    truth = 2.5 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for mean in truth:
        assert np.linalg.norm(means - mean, axis=1).min() < 0.2


def test_a_round_that_loses_is_undone(monkeypatch):
    """Steps that wander off do not cost the bound: the pass finds out, and the rate is halved."""
    run = ConjugateRun(mixture(600), SMALL, [3])
    run.look()
    bound, rate, kept = run.best.bound, run.rate, run.p
    run.p, run.step = run.target.prior + 0.3 * run.best.statistics[::-1].clip(0.0), run.length
    monkeypatch.setattr(run.target, "log_normaliser", _tolerant(run.target))
    assert run.look().bound < bound
    assert (run.best.bound, run.rate) == (bound, 0.5 * rate)
    np.testing.assert_array_equal(run.p, kept)
    assert run.due


def _tolerant(target):
    """∇A, or zeros where there is none: any m gives a bound."""
    plain = target.log_normaliser

    def found(p):
        value, m = plain(p)
        return value, np.where(np.isfinite(m), m, 0.0)

    return found


@pytest.mark.parametrize(("away", "wide"), [(10.0, 1e-6), (1e4, 0.1), (1e6, 1e3)])
def test_rounding_is_covered(away, wide):
    """Rows far from the prior's centre cancel twelve digits: the stated error covers what is lost, against integers."""
    x = np.round(away + 8.0 * np.random.default_rng(0).normal(size=(40, 1)))
    target = ConjugateTarget(cal.gaussian_mixture(cal.Rows.arrays(x), 1, shrinkage=0.5), 16, 40)
    found = target.whole(target.log_normaliser(target.prior)[1])
    before, flint.ctx.prec = flint.ctx.prec, 300
    n, kappa, nu = len(x), flint.arb(0.5) + len(x), flint.arb(3 + len(x))
    after = 1 + sum(int(v) ** 2 for v in x.ravel()) - flint.arb(int(x.sum())) ** 2 / kappa
    exact = (nu / 2).lgamma() - flint.arb(1.5).lgamma() - nu / 2 * after.log()
    exact = exact + (flint.arb(0.5) / kappa).log() / 2 - n * flint.arb.pi().log() / 2
    flint.ctx.prec = before
    assert abs(found.bound - float(exact)) < found.error
    assert found.error < wide


def test_a_run_goes_on_bit_for_bit(tmp_path):
    model = mixture(1000)
    method = dataclasses.replace(SMALL, checkpoint=str(tmp_path / "run.npz"), tolerance=1e-12)
    whole, parted = (
        ConjugateRun(model, dataclasses.replace(method, checkpoint=None), [7]),
        ConjugateRun(model, method, [7]),
    )
    for step in range(40):
        if step in (0, 5, 9, 23):
            parted.save()
            parted = ConjugateRun(model, method, [7])
        for run in (whole, parted):
            run.look() if run.due else run.advance()
    np.testing.assert_array_equal(whole.p, parted.p)
    np.testing.assert_array_equal(whole.mean, parted.mean)
    assert (whole.best.bound, whole.rate, whole.place) == (parted.best.bound, parted.rate, parted.place)
    with pytest.raises(ValueError, match="of another run: its seed"):
        ConjugateRun(model, method, [8])
    with pytest.raises(ValueError, match="of another run: its model"):
        ConjugateRun(mixture(1000, seed=1), method, [7])


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import dataclasses, jax, calipers as cal
from test_conjugate_vi import SMALL, mixture
method = dataclasses.replace(SMALL, checkpoint=sys.argv[1], checkpoint_seconds=0.0, tolerance=1e-13, rounds=25)
answer = cal.log_z(mixture(1000), method, key=jax.random.key(2), time_limit=300.0)
print(answer.lower.value.hex(), answer.stats["rounds"], answer.belief.natural["square"].tobytes().hex())
"""


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT.format(folder=os.path.dirname(__file__)))]
    whole = subprocess.run([*command, tmp_path / "a.npz"], capture_output=True, text=True, check=True).stdout
    killed = subprocess.Popen([*command, tmp_path / "b.npz"], stdout=subprocess.PIPE)
    while True:  # until rounds are under way
        time.sleep(0.01)
        if (tmp_path / "b.npz").exists() and np.load(tmp_path / "b.npz")["numbers"][4] >= 3:
            break
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    assert killed.communicate()[0] == b""
    again = subprocess.run([*command, tmp_path / "b.npz"], capture_output=True, text=True, check=True).stdout
    assert again == whole


def test_progress_and_limits_are_told(monkeypatch):
    monkeypatch.setattr("calipers.variational.conjugate_vi._EVERY", 0.0)
    model = mixture(1000)
    answers = list(cal.iterate(model, dataclasses.replace(SMALL, rounds=2, tolerance=1e-12)))
    told = [a.stats for a in answers if "rows_per_second" in a.stats]
    assert all(s["rows_per_second"] > 0.0 and s["seconds_left_at_most"] > 0.0 for s in told)
    lows = [a.lower.value for a in answers]
    assert lows == sorted(lows)
    assert answers[-1].result is cal.Result.UNCONVERGED
    assert answers[-1].value is None
    assert math.isfinite(lows[-1])


def test_bad_input_is_told():
    rows = cal.Rows.arrays(points(20))
    with pytest.raises(ValueError, match="must be positive"):
        cal.gaussian_mixture(rows, 2, shrinkage=0.0)
    with pytest.raises(ValueError, match="vectors"):
        cal.gaussian_mixture(cal.Rows.arrays(np.zeros(5)), 2)
    with pytest.raises(ValueError, match="one number for each"):
        cal.ConjugateModel({"a": np.ones(())}, lambda p: p["a"] ** 2, lambda m, x: m["a"] * x.sum(), rows)
    with pytest.raises(ValueError, match="log-normaliser of the prior"):
        cal.ConjugateModel({"a": -np.ones(())}, lambda p: jax.numpy.log(p["a"]), lambda m, x: m["a"] * x[:, 0], rows)
    with pytest.raises(TypeError, match=r"cal\.Rows"):
        cal.ConjugateModel({"a": np.ones(())}, lambda p: p["a"] ** 2, lambda m, x: x, points(20))
    with pytest.raises(ValueError, match="batch is 0"):
        cal.ConjugateVI(batch=0)
    with pytest.raises(cal.Refusal, match="ConjugateModel"):
        cal.log_z(cal.Ising.square(3), cal.ConjugateVI())
    with pytest.raises(cal.Refusal, match="GB"):
        cal.log_z(mixture(100), cal.ConjugateVI(), memory=10.0)


def test_the_contract():
    x = points(8)
    y = x[:, 0]
    both = [
        zoo.ZooModel("mixture", cal.gaussian_mixture(cal.Rows.arrays(x), 2, shrinkage=0.1), enumerated(x, 2)),
        zoo.ZooModel(
            "regression",
            cal.conjugate_regression(cal.Rows.arrays((x, y))),
            float(stats.multivariate_t(np.zeros(8), np.eye(8) + x @ x.T, df=2.0).logpdf(y)),
        ),
    ]
    check_method(SMALL, key=jax.random.key(0), models=both)
    with pytest.raises(AssertionError, match="refused every model"):
        check_method(SMALL, key=jax.random.key(0))


def test_auto_hands_conjugate_models_to_it():
    model = mixture(600)
    chosen, asked = (
        cal.log_z(model, method, key=jax.random.key(0), time_limit=300.0) for method in (None, cal.ConjugateVI())
    )
    assert np.isfinite(chosen.lower.value)
    assert chosen.lower.value == asked.lower.value
    assert chosen.upper.value == np.inf
