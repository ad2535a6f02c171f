"""Score-function gradients: unbiased, less noisy with their two remedies, and bounds close to mean field's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal
from calipers.core.iterate import log_z
from calipers.core.method import Limits, Refusal
from calipers.io.certificate import Certificate
from calipers.models.reduction import as_reduced
from calipers.variational import black_box
from calipers.variational.factor_fields import FactorProduct
from calipers_check import check

MAGNET = cal.Ising.square((3, 4), coupling="gauss:1", field="gauss:0.5", beta=0.4, seed=1, periodic=False)
POTTS = cal.FactorGraph.from_tables(
    (3, 2, 4),
    [((0, 1), np.exp([[0.5, -0.2], [0.1, 0.9], [-1.0, 0.3]])), ((1, 2), np.exp(np.arange(8.0).reshape(2, 4) / 7.0))],
)


@pytest.mark.parametrize("model", [MAGNET, POTTS], ids=["magnet", "three domains"])
def test_the_gradient_is_that_of_the_bound(model):
    trial = FactorProduct(as_reduced(model))
    logits = 0.5 * np.random.default_rng(0).standard_normal(len(trial.q))

    def bound(at):
        trial.logs[:] = black_box.log_softmax(trial.flat, at)
        trial.q[:] = np.exp(trial.logs)
        return trial.bound()[0]

    steps = 1e-5 * np.eye(len(logits))
    exact = np.array([(bound(logits + e) - bound(logits - e)) / 2e-5 for e in steps])
    for rao_blackwell in (True, False):
        gradient = black_box.table_gradient(trial.flat, rao_blackwell)
        random = np.random.default_rng(1)
        draws = np.array([gradient(logits, random, 8) for _ in range(4000)])
        errors = draws.std(0) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(0) - exact) < 4.5 * errors + 1e-9).all()


def test_rao_blackwell_lowers_the_variance():
    trial = FactorProduct(as_reduced(MAGNET))
    spread = []
    for rao_blackwell in (True, False):
        gradient, random = black_box.table_gradient(trial.flat, rao_blackwell), np.random.default_rng(2)
        spread.append(np.var([gradient(np.zeros(len(trial.q)), random, 16) for _ in range(300)], axis=0).sum())
    assert spread[0] < 0.5 * spread[1]


@pytest.mark.parametrize("model", [MAGNET, POTTS], ids=["magnet", "three domains"])
def test_it_comes_close_to_mean_field_from_below(model, tmp_path):
    best = log_z(model, cal.MeanField()).lower.value
    found = log_z(model, cal.BlackBoxVI(steps=1000), key=jax.random.key(0))
    assert best - 0.02 < found.lower.value < best + 1e-6
    assert found.stats["steps"] == 1000
    Certificate.from_answer(found, model).save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert [c.side for c in verdict.claims] == ["lower"]


def test_over_reals_it_needs_no_derivative():
    def staircase(u):
        return -0.5 * ((jnp.floor(8.0 * u) / 8.0 - 1.0) ** 2).sum()  # flat almost everywhere

    model = cal.EnergyModel(staircase, np.zeros(2))
    answer = log_z(model, cal.BlackBoxVI(steps=400, samples=128), key=jax.random.key(0))
    assert answer.stats["estimate"] == pytest.approx(np.log(2.0 * np.pi), abs=0.02)
    assert answer.lower.value == -np.inf


def test_refusals():
    zero = cal.FactorGraph.from_tables((2, 2), [((0, 1), [[1.0, 0.0], [2.0, 1.0]])])
    with pytest.raises(Refusal, match="zeros"):
        cal.BlackBoxVI().plan(zero)
    with pytest.raises(Refusal, match="key"):
        next(cal.BlackBoxVI().answers(MAGNET, cal.BlackBoxVI().plan(MAGNET, Limits())))
    for wrong in ({"steps": 1}, {"samples": 1}, {"rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            cal.BlackBoxVI(**wrong)
