"""The method: sides that hold, fits that go on bit for bit, and every kind of model."""

import jax
import numpy as np
import pytest

import calipers as cal
from calipers import zoo
from calipers.core.answer import Grounds, Result
from calipers.core.iterate import iterate, log_z
from calipers.core.method import Limits, Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.io.certificate import Certificate
from calipers_check import check

GLASS = cal.Ising.square((3, 4), coupling="gauss:1", field="gauss:0.5", beta=0.8, seed=1)


def but(**changes):
    return cal.Autoregressive(**({"ibound": 0, "hidden": 4, "steps": 50, "draws": 64, "samples": 4096,
                                  "sweeps": 3, "orders": 1, "annealing": 0} | changes))  # fmt: skip


def test_training_closes_most_of_what_the_mini_buckets_leave():
    truth = enumerate_all(GLASS.factor_graph())[0]
    before = log_z(GLASS, but(steps=0), key=jax.random.key(0), gap=0.0, delta=0.01)
    after = log_z(GLASS, but(steps=100), key=jax.random.key(0), gap=0.0, delta=0.01)
    assert after.stats["ess"] > 0.97 > 0.8 > before.stats["ess"]
    for answer in (before, after):
        assert answer.lower.value <= truth <= answer.upper.value
        assert answer.grounds == (Grounds.STATISTICAL, Grounds.COMPUTED)
        assert answer.value == pytest.approx(truth, abs=5.0 * answer.stats["standard_error"])
        assert answer.stats["elbo"] <= truth + 5.0 * answer.stats["elbo_error"]
    assert after.lower.value > before.lower.value
    assert after.stats["elbo"] > before.stats["elbo"]


@pytest.mark.parametrize("options", [{"natural": False, "rate": 0.02}, {"annealing": 20}], ids=["adam", "annealed"])
def test_other_ways_to_train_it(options):
    truth = enumerate_all(GLASS.factor_graph())[0]
    before = log_z(GLASS, but(steps=0), key=jax.random.key(1), gap=0.0)
    after = log_z(GLASS, but(steps=150, **options), key=jax.random.key(1), gap=0.0)
    assert truth - after.stats["elbo"] < 0.5 * (truth - before.stats["elbo"])


def test_without_a_delta_there_is_no_lower_side():
    answer = log_z(GLASS, but(), key=jax.random.key(0))
    assert answer.lower.grounds is Grounds.NONE
    assert answer.delta == 0.0
    assert answer.value is not None


def test_lower_sides_fail_no_oftener_than_delta():
    """At δ = 0.2, of 60 untrained runs more than 24 would fail with probability below 10⁻³ if δ were spent in full."""
    truth = enumerate_all(GLASS.factor_graph())[0]
    runs = (log_z(GLASS, but(steps=0, samples=2048), key=jax.random.key(s), gap=0.0, delta=0.2) for s in range(60))
    lowers = np.array([answer.lower.value for answer in runs])
    assert (lowers > truth).sum() <= 24
    assert np.median(lowers) > truth - 0.2  # and they are not trivial


def test_zeros_mixed_domains_and_parts():
    for seed in range(3):
        graph = zoo.random_graph(seed, n=9, zeros=0.3)
        truth = enumerate_all(graph)[0]
        answer = log_z(graph, but(steps=20), key=jax.random.key(0), delta=1e-6, gap=0.0)
        slack = 1e-9 * max(1.0, abs(truth)) if np.isfinite(truth) else 0.0
        assert answer.lower.value <= truth + slack
        assert answer.upper.value >= truth - slack


def test_dead_ends_count_with_weight_zero():
    """Not all equal on every triple of a ring, seen by mini-buckets too small for it."""
    n, table = 9, np.ones((3, 3, 3))
    table[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = 0.0
    table[0, 1, 0] = table[2, 0, 2] = table[1, 2, 0] = 0.0
    scopes = [(i, (i + 2) % n, (i + 5) % n) for i in range(n)]
    graph = cal.FactorGraph.from_tables((3,) * n, [(s, table) for s in scopes])
    truth = enumerate_all(graph)[0]
    answer = log_z(graph, but(steps=0), key=jax.random.key(0), delta=0.01, gap=0.0)
    assert answer.stats["dead"] > 0.0
    assert answer.stats["elbo"] == -np.inf
    assert answer.lower.value <= truth <= answer.upper.value
    assert answer.value == pytest.approx(truth, abs=5.0 * answer.stats["standard_error"])
    trained = log_z(graph, but(steps=60), key=jax.random.key(0), delta=0.01, gap=0.0)
    assert trained.stats["dead"] < 0.5 * answer.stats["dead"]


@pytest.mark.parametrize(
    "model",
    [
        cal.FactorGraph((), (), ()),
        cal.FactorGraph((3,), ((0,),), (np.array([0.1, 0.2, -0.5]),)),
        cal.FactorGraph((2, 2), (), ()),
        cal.Ising.on("chain", (6,), beta=0.4),
        cal.FactorGraph((2,), ((0,),), (np.array([-np.inf, -np.inf]),)),
    ],
    ids=["nothing", "one variable", "no factor", "a chain", "contradiction"],
)
def test_what_needs_no_network_is_exact(model):
    answer = log_z(model, cal.Autoregressive(), key=jax.random.key(0))
    assert answer.result is Result.EXACT
    assert answer.value == pytest.approx(enumerate_all(model.factor_graph())[0])


def test_a_run_goes_on_bit_for_bit(tmp_path):
    def last(answers):
        *_, final = answers
        return final

    whole = last(iterate(GLASS, but(steps=75), key=jax.random.key(3), limits=Limits(delta=0.01)))
    path = str(tmp_path / "fit.npz")
    last(iterate(GLASS, but(steps=25, checkpoint=path), key=jax.random.key(3), limits=Limits(delta=0.01)))
    gone_on = last(iterate(GLASS, but(steps=75, checkpoint=path), key=jax.random.key(3), limits=Limits(delta=0.01)))
    assert gone_on.value == whole.value
    assert gone_on.lower.value == whole.lower.value
    assert gone_on.stats == whole.stats
    with pytest.raises(ValueError, match="of another run: its seed"):
        log_z(GLASS, but(steps=75, checkpoint=path), key=jax.random.key(4))


def test_its_upper_side_is_certified(tmp_path):
    answer = log_z(GLASS, but(steps=0), key=jax.random.key(0), delta=0.01)
    certificate = Certificate.from_answer(answer, GLASS)
    certificate.save(tmp_path / "upper.cert")
    verdict = check(tmp_path / "upper.cert")
    assert verdict.accepted
    assert verdict.claims[0].proved == pytest.approx(answer.upper.value, abs=1e-6)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(Refusal, match="key"):
        log_z(GLASS, but())
    with pytest.raises(Refusal, match="discrete"):
        log_z(cal.EnergyModel(lambda s: -s * s, np.ones(())), but(), key=jax.random.key(0))
    with pytest.raises(Refusal, match="GB"):
        log_z(GLASS, but(), key=jax.random.key(0), memory=1e5)
    for bad in ({"hidden": 0}, {"draws": 1}, {"rate": -1.0}, {"ibound": -1}, {"steps": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            cal.Autoregressive(**bad)
