"""run_chain: estimates against exact values, checkpoints, interrupts, memory. Fixed seeds; |z| < 4.5."""

import signal

import numpy as np
import pytest

import calipers as cal
from calipers.sampling.estimates import Estimate

SQUARE = cal.Ising.square((4, 4), beta=0.4)
FIELD = cal.Ising.square((3, 3), beta=0.5, field=0.3, periodic=False)


def agrees(result, name, exact):
    value, error = result.estimates[name]
    assert abs(value - exact) < 4.5 * error, (name, value, error, exact)
    assert error < 0.1 * (abs(exact) + 1.0)


@pytest.mark.parametrize("model", [SQUARE, FIELD], ids=["square", "field"])
@pytest.mark.parametrize("kernel", [cal.HeatBath(), cal.SwendsenWang(), cal.Gibbs()], ids=repr)
def test_estimates(kernel, model):
    result = cal.run_chain(model, kernel, sweeps=8000, seed=1, chains=16, measure_every=4)
    agrees(result, "energy", cal.energy(model))
    agrees(result, "heat_capacity", cal.heat_capacity(model))
    agrees(result, "susceptibility", cal.susceptibility(model))
    s = 1.0 - 2 * np.stack(np.unravel_index(np.arange(2**model.n), (2,) * model.n), 1)
    p = np.exp(-model.beta * model.energy(s))
    p, m = p / p.sum(), s.mean(1)
    agrees(result, "magnetization", p @ m)
    agrees(result, "abs_magnetization", p @ abs(m))
    agrees(result, "abs_susceptibility", model.beta * model.n**2 * (p @ m**2 - (p @ abs(m)) ** 2))
    agrees(result, "binder", 1 - (p @ m**4) / (3 * (p @ m**2) ** 2))
    assert result.reliable
    assert result.measurements == 2000
    assert set(result.tau) == {"energy", "magnetization", "abs_magnetization"}
    assert result.tau["energy"] >= 4  # in sweeps
    assert "energy" in str(result)
    assert "not reliable" not in str(result)


def test_other_models_and_observables():
    potts = cal.FactorGraph.from_tables((3, 3), [((0, 1), 1 + np.eye(3))])
    result = cal.run_chain(
        potts, cal.Gibbs(), sweeps=4000, seed=0, chains=8, observables={"same": lambda x: x[:, 0] == x[:, 1]}
    )
    assert set(result.estimates) == {"energy", "heat_capacity", "same"}
    agrees(result, "same", 0.5)
    agrees(result, "energy", cal.energy(potts))


def test_a_short_chain_is_not_reliable():
    result = cal.run_chain(cal.Ising.square(16, beta=0.44), cal.HeatBath(), sweeps=200, seed=0)
    assert not result.reliable
    assert not result.long_enough
    assert "not reliable" in str(result)
    hard = cal.FactorGraph.from_tables((2, 2), [((0, 1), [[1.0, 1.0], [1.0, 0.0]])])
    assert not cal.run_chain(hard, cal.Gibbs(), sweeps=4000, seed=0).reliable  # zeros may part it


def arrays(result):
    return [*result.series.values(), result.states]


@pytest.mark.parametrize("kernel", [cal.Wolff(), cal.ParallelTempering(replicas=3, adapt=10)], ids=repr)
def test_a_checkpoint_goes_on_bit_for_bit(kernel, tmp_path):
    options = {"sweeps": 60, "measure_every": 2, "burn_in": 7, "seed": 5, "keep": True}
    whole = cal.run_chain(SQUARE, kernel, **options)
    for stop_at in (2, 20):
        file = tmp_path / f"{stop_at}.npz"

        def stop(at, when=stop_at):
            if at.done >= when:
                signal.raise_signal(signal.SIGINT)

        first = cal.run_chain(SQUARE, kernel, checkpoint=file, progress=stop, **options)
        assert first.interrupted
        assert first.measurements < 30
        second = cal.run_chain(SQUARE, kernel, checkpoint=file, **options)
        assert not second.interrupted
        assert all(np.array_equal(a, b) for a, b in zip(arrays(second), arrays(whole), strict=True))
    longer = cal.run_chain(SQUARE, kernel, checkpoint=file, **{**options, "sweeps": 80})
    assert np.array_equal(longer.series["energy"][:, :30], whole.series["energy"])
    assert longer.measurements == 40


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = tmp_path / "run.npz"
    options = {"sweeps": 10, "burn_in": 0, "seed": 1, "checkpoint": file}
    cal.run_chain(SQUARE, cal.Wolff(), **options)
    for other, words in (
        ({"model": SQUARE.tempered(0.9)}, "model"), ({"kernel": cal.SwendsenWang()}, "kernel"),
        ({"seed": 2}, "seed"), ({"measure_every": 2}, "every"), ({"chains": 3}, "chains"),
    ):  # fmt: skip
        asked = {"model": SQUARE, "kernel": cal.Wolff(), **options, **other}
        with pytest.raises(ValueError, match=f"its {words}"):
            cal.run_chain(asked.pop("model"), asked.pop("kernel"), **asked)
    file.write_text("nothing")
    with pytest.raises(ValueError, match="no checkpoint"):
        cal.run_chain(SQUARE, cal.Wolff(), **options)


def test_configurations_only_if_asked():
    one = cal.run_chain(SQUARE, cal.HeatBath(), sweeps=20, seed=0)
    assert one.states is None
    two = cal.run_chain(SQUARE, cal.HeatBath(), sweeps=20, seed=0, keep=True)
    assert two.states.shape == (4, 20, 16)
    assert SQUARE.energy(1.0 - 2 * two.states) == pytest.approx(one.series["energy"])
    with pytest.raises(cal.Refusal, match="GB"):
        cal.run_chain(SQUARE, cal.HeatBath(), sweeps=10**6, seed=0, keep=True, memory=1e6)


def test_progress_and_time():
    seen = []
    cal.run_chain(SQUARE, cal.HeatBath(), sweeps=10, measure_every=3, burn_in=4, seed=0, progress=seen.append)
    assert [(p.done, p.total, p.measured) for p in seen] == [
        (3, 13, 0),
        (4, 13, 0),
        (7, 13, 1),
        (10, 13, 2),
        (13, 13, 3),
    ]
    late = cal.run_chain(SQUARE, cal.HeatBath(), sweeps=10**6, seed=0, time_limit=0.0)
    assert late.interrupted
    with pytest.raises(ValueError, match="sweeps 0"):
        cal.run_chain(SQUARE, cal.HeatBath(), sweeps=0, seed=0)


def test_estimates_are_printed():
    assert str(Estimate(1.25, 0.013)) == "1.25 ± 0.013"
