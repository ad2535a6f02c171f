import math

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import equinox as eqx  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402

import calipers as cal  # noqa: E402
from calipers import plots  # noqa: E402
from calipers.variational.pareto import pareto_smooth  # noqa: E402
from calipers.variational.self_consistency import magnetization_curves, mean_field_equation  # noqa: E402


@pytest.fixture(autouse=True)
def _close():
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


def dots(ax):
    return [line for line in ax.lines if line.get_marker() == "o"]


def test_self_consistency_marks_stable_and_unstable_solutions():
    solutions = mean_field_equation(4, 1.0, 0.0, 2.0)
    ax = plots.self_consistency(solutions)
    marks = dots(ax)
    assert [float(d.get_xdata()[0]) for d in marks] == solutions.m.tolist()
    assert [d.get_markerfacecolor() != "white" for d in marks] == [True, False, True]
    assert "0.5 $T_c$" in ax.get_title()


@pytest.mark.parametrize("case", [(4, -1.0, 0.3, 2.0), (4, 1.0, 0.5, 0.0), (4, 0.0, 0.0, 1.0), (6, 1.0, 0.0, 1e-6)])
def test_self_consistency_draws_every_regime(case):
    _, ax = plt.subplots()
    assert plots.self_consistency(mean_field_equation(*case), ax=ax) is ax
    ax.figure.canvas.draw()


@pytest.mark.parametrize("z", [3, 4, 6])
def test_magnetization_marks_each_critical_temperature(z):
    curves = magnetization_curves(z)
    ax = plots.magnetization(curves)
    assert sorted(float(d.get_xdata()[0]) for d in dots(ax)) == sorted(curves.critical.values())
    ax.figure.canvas.draw()


def test_gap_log_is_a_band_that_narrows():
    rows = [(0.1, -math.inf, 9.0), (0.5, 2.0, 9.0), (4.0, 3.0, 5.0)]
    ax = plots.gap_log(rows, truth=4.0)
    (band,) = ax.collections
    assert np.isfinite(band.get_paths()[0].vertices).all()
    assert ax.get_xscale() == "log"
    assert "[3.00, 5.00]" in ax.get_title()
    ax.figure.canvas.draw()


def test_gap_log_of_one_row_and_of_none():
    for row in ((0.0, 1.0, 1.0), (1.0, -math.inf, math.inf)):
        plots.gap_log([row]).figure.canvas.draw()
    with pytest.raises(ValueError, match="at least one row"):
        plots.gap_log([])


@pytest.fixture(scope="module")
def chain():
    return cal.run_chain(cal.Ising.square((4, 4), beta=0.4), cal.HeatBath(), sweeps=300, seed=0, measure_every=2)


def test_trace_shows_every_chain_and_the_mean(chain):
    ax = plots.trace(chain)
    assert len(ax.lines) == 4 + 1
    assert ax.lines[0].get_xdata()[0] == chain.burn_in + 2
    assert ax.lines[-1].get_ydata()[0] == chain.estimates["energy"].value
    plots.trace(chain, series="magnetization").figure.canvas.draw()
    with pytest.raises(ValueError, match="among"):
        plots.trace(chain, series="nonsense")


def test_autocorrelations_begin_at_one(chain):
    ax = plots.autocorrelations(chain)
    assert [line.get_ydata()[0] for line in ax.lines[:2]] == [1.0, 1.0]
    assert f"τ = {chain.tau['energy']:.3g}" in ax.texts[0].get_text()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("grid", [{"T": [2.0, 3.0, 4.0]}, {"T": [2.0, 3.0], "h": [0.0, 0.2]}, {"h": [0.0, 0.1]}])
def test_observables_are_points_with_error_bars(grid):
    found = cal.sweep(cal.Ising.square((4, 4)), sweeps=64, seed=0, **grid)
    curve = found.reweight(T=[2.0, 2.5, 3.0]) if "h" not in grid else None
    ax = plots.observable(found, "abs_magnetization", curve=curve, exact=lambda T: 0.5)
    assert sum(len(line.get_xdata()) for line in dots(ax)) == len(found.points)
    assert ax.get_xlabel().startswith("field" if "T" not in grid else "temperature")
    ax.figure.canvas.draw()


@pytest.fixture(scope="module")
def fitted():
    """The answer of a fit to a curved density that no Gaussian fits."""
    model = cal.EnergyModel(
        lambda p: -0.5 * p["a"] ** 2 - 0.5 * (p["b"] - 0.5 * p["a"] ** 2) @ (p["b"] - 0.5 * p["a"] ** 2),
        {"a": 0.0, "b": np.zeros(2)},
    )
    return cal.log_z(model, cal.GaussianVI(), check=False)


@pytest.fixture(scope="module")
def fit(fitted):
    return fitted.belief


def test_the_elbo_trace_rises_and_ends_above_the_fresh_one(fitted):
    ax = plots.elbo_trace(fitted)
    climbed, fresh, log_z = (np.asarray(line.get_ydata()) for line in ax.lines)
    assert len(climbed) == fitted.stats["iterations"] + 1
    assert (np.diff(climbed) >= 0.0).all()
    assert fresh[0] == fitted.stats["elbo"]
    assert log_z[0] == fitted.stats["estimate"]
    assert ax.get_ylim()[0] < fresh[0] < log_z[0] < ax.get_ylim()[1]
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="no ELBO trace"):
        plots.elbo_trace(cal.Answer())


def test_the_tail_of_the_weights_lies_on_its_law(fit):
    ax = plots.weights_tail(fit)
    dots, law = ax.lines[:2]
    x, y = dots.get_data()
    assert (np.diff(x) <= 0.0).all()
    assert x[0] == pytest.approx(np.exp(fit.log_weights.max()) / np.exp(fit.log_weights).mean())
    assert y[0] == 0.5 / len(fit.log_weights)
    # the law's shares at the weights of the tail, against theirs: within what 20 points of an order statistic vary
    at = np.interp(np.log(x), np.log(law.get_xdata()), np.log(law.get_ydata()))
    tail = (x > law.get_xdata()[0]) & (y > 20.0 / len(fit.log_weights))
    assert tail.sum() > 20
    assert np.abs(at - np.log(y))[tail].max() < 0.5
    assert f"{pareto_smooth(fit.log_weights)[1]:.2f}" in ax.get_title()
    ax.figure.canvas.draw()


def test_weights_without_a_tail_are_drawn_and_none_are_refused(fit):
    flat = eqx.tree_at(lambda c: c.log_weights, fit, np.zeros(len(fit.log_weights)))
    plots.weights_tail(flat).figure.canvas.draw()
    with pytest.raises(ValueError, match="positive weight"):
        plots.weights_tail(eqx.tree_at(lambda c: c.log_weights, fit, np.full(len(fit.log_weights), -np.inf)))
    for figure in (plots.weights_tail, plots.pair):
        with pytest.raises(ValueError, match=r"answer\.belief"):
            figure(None)


def test_pair_shows_what_was_drawn_and_what_it_weighs(fit):
    ax = plots.pair(fit, "a", "b[1]")
    drawn, resampled = (line.get_data() for line in ax.lines)
    assert np.array_equal(drawn[0], fit.draws["a"][:2000])
    assert np.array_equal(drawn[1], fit.draws["b"][:2000, 1])
    assert set(resampled[1]) <= set(fit.draws["b"][:, 1])
    assert len(resampled[0]) == min(2000, int(fit.effective_size))
    # the posterior has b = a²/2 + noise, which q, a Gaussian, has not
    assert np.corrcoef(resampled[0] ** 2, resampled[1])[0, 1] > 0.25 > np.corrcoef(drawn[0] ** 2, drawn[1])[0, 1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b[1]")
    assert plots.pair(fit).get_ylabel() == "b[0]"
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match=r"among the parameters: a, b\[0\], b\[1\]"):
        plots.pair(fit, "a", "c")
    with pytest.raises(ValueError, match="among"):
        plots.pair(fit, 0, 3)
