"""Sweeps: observables against enumeration, reweighting, tables, checkpoints, Ctrl-C. Fixed seeds; |z| < 4.5."""

import csv
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import calipers as cal
from calipers.sampling.histogram import Run, reweighted
from calipers.sampling.observables import usual_measures
from calipers.sampling.politely import stopping_politely

SQUARE = cal.Ising.square((4, 4))
T = [2.0, 2.4, 3.0]


def enumerated(model, beta, h=0.0):
    """Spins, and p at β in a field."""
    s = 1.0 - 2 * np.stack(np.unravel_index(np.arange(2**model.n), (2,) * model.n), 1)
    logs = -beta * (model.energy(s) - h * s.sum(1))
    p = np.exp(logs - logs.max())
    return s, p / p.sum()


@pytest.fixture(scope="module")
def found():
    return cal.sweep(SQUARE, T=T, h=[0.0, 0.1], sweeps=3000, seed=1, kernel=cal.SwendsenWang())


def exact_quantities(beta, h):
    s, p = enumerated(SQUARE, beta, h)
    m, E = s.mean(1), SQUARE.energy(s) - h * s.sum(1)
    k = np.exp(2j * np.pi * np.arange(4) / 4)
    grid = s.reshape(-1, 4, 4)
    S = p @ (0.5 * (abs(grid.sum(2) @ k) ** 2 + abs(grid.sum(1) @ k) ** 2)) / 16
    zero = 16 * (p @ m**2 - (p @ m) ** 2)
    return {
        "energy": p @ E, "heat_capacity": beta**2 * (p @ E**2 - (p @ E) ** 2), "abs_magnetization": p @ abs(m),
        "binder": 1 - (p @ m**4) / (3 * (p @ m**2) ** 2), "structure_factor": S,
        "correlation_length": np.sqrt(max(zero / S - 1, 0)) / (2 * np.sin(np.pi / 4)),
    }  # fmt: skip


def test_every_quantity_agrees_with_enumeration(found):
    assert list(found.T) == pytest.approx([*T, *T])
    assert [p.h for p in found.points] == [0.0] * 3 + [0.1] * 3
    for p in found.points:
        for name, exact in exact_quantities(p.beta, p.h).items():
            value, error = p.estimates[name]
            assert abs(value - exact) < 4.5 * error, (p.T, p.h, name)


def test_reweighting_between_the_points_agrees_and_is_sharper(found):
    between = found.reweight(T=[2.0, 2.2, 2.7])
    for p in between.points:
        for name, exact in exact_quantities(p.beta, p.h).items():
            value, error = p.estimates[name]
            assert abs(value - exact) < 5 * error, (p.T, p.h, name)
    alone, together = (
        found.points[1].estimates["energy"].error,
        found.reweight(T=[2.4]).points[0].estimates["energy"].error,
    )
    assert together < 1.2 * alone
    with pytest.raises(ValueError, match="cover"):
        found.reweight(T=[5.0])
    with pytest.raises(ValueError, match="one of them"):
        found.reweight(T=[2.0], beta=[0.5])


def test_reweighted_error_bars_are_calibrated():
    """Independent exact draws at two temperatures: z of the energy between them has unit spread."""
    random, betas, z = np.random.default_rng(3), (0.3, 0.5), []
    laws = [enumerated(SQUARE, b) for b in (*betas, 0.4)]
    E = SQUARE.energy(laws[0][0])
    M = laws[0][0].sum(1)
    for _ in range(40):
        picks = [random.choice(len(E), (4, 200), p=p) for _, p in laws[:2]]
        runs = [Run(b, {"energy": E[x], "magnetization": M[x]}) for b, x in zip(betas, picks, strict=True)]
        (at,) = reweighted(runs, [0.4], 16)
        z.append(
            [
                (at[k].value - exact) / at[k].error
                for k, exact in (("energy", laws[2][1] @ E), ("binder", None))
                if exact is not None
            ]
        )
    assert abs(np.mean(z)) < 4.5 / np.sqrt(40)
    assert 0.7 < np.std(z) < 1.4


def test_a_method_instead_of_a_kernel():
    exact = cal.sweep(SQUARE, T=T, h=[0.0, 0.1], method=cal.Elimination())
    for p in exact.points:
        assert p.estimates["energy"].value == pytest.approx(exact_quantities(p.beta, p.h)["energy"])
        assert p.estimates["energy"].error == 0.0
        assert p.estimates["lower"].value <= p.estimates["log_z"].value <= p.estimates["upper"].value
    rough = cal.sweep(SQUARE, beta=0.3, method=cal.MeanField())
    assert np.isnan(rough.points[0].estimates["energy"].error)
    with pytest.raises(ValueError, match="not both"):
        cal.sweep(SQUARE, T=2.0, method=cal.MeanField(), kernel=cal.Wolff())
    with pytest.raises(ValueError, match="reweighting"):
        exact.reweight(T=[2.1])


def test_tables(found, tmp_path):
    text = found.to_csv(tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6
    assert float(rows[4]["energy"]) == found.points[4].estimates["energy"].value
    assert found.to_dict()["points"][0]["binder_error"] == found.points[0].estimates["binder"].error
    assert "2.4" in str(found)
    with pytest.raises(ValueError, match="among"):
        found.column("nonsense")
    xarray = pytest.importorskip("xarray")
    data = found.to_xarray()
    assert isinstance(data, xarray.Dataset)
    assert float(data.energy.sel(h=0.1).isel(T=1)) == found.points[4].estimates["energy"].value


def test_what_cannot_be():
    for wrong in ({"T": 0.0}, {"T": []}, {"beta": -1.0}, {"T": 1.0, "beta": 1.0}, {"T": float("nan")}):
        with pytest.raises(ValueError, match=r"T|beta"):
            cal.sweep(SQUARE, seed=0, **wrong)
    with pytest.raises(ValueError, match="magnet"):
        cal.sweep(SQUARE.factor_graph(), h=0.1, seed=0)
    with pytest.raises(ValueError, match="randomness"):
        cal.sweep(SQUARE, T=2.0)


def test_a_sweep_goes_on_from_its_folder(tmp_path):
    options = {"T": T, "sweeps": 120, "seed": 4, "kernel": cal.HeatBath()}
    whole = cal.sweep(SQUARE, **options)
    seen = []

    def stop(at):
        seen.append(at)
        if at.point == 1 and at.chain.done == 50:
            signal.raise_signal(signal.SIGINT)

    first = cal.sweep(SQUARE, checkpoint=tmp_path / "c", progress=stop, **options)
    assert first.interrupted
    assert len(first.points) == 2
    assert seen[-1].points == 3
    assert seen[0].seconds_left > 0
    assert "point 1 of 3" in str(seen[0])
    again = []
    second = cal.sweep(SQUARE, checkpoint=tmp_path / "c", progress=again.append, **options)
    assert not second.interrupted
    assert again[0].point == 1  # the first was done, the second begun
    assert again[0].chain.begun == 50
    assert second.to_csv() == whole.to_csv()
    early = cal.sweep(SQUARE, time_limit=0.0, **options)
    assert early.interrupted
    assert len(early.points) == 1


def test_the_second_ctrl_c_raises():
    before = signal.getsignal(signal.SIGINT)
    with stopping_politely() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.stop
        with stopping_politely() as inner:
            assert inner is asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_structure_factors_by_the_fourier_transform():
    model = cal.Ising.cubic((3, 4, 5))
    states = np.random.default_rng(0).integers(0, 2, (6, 60))
    spectrum = abs(np.fft.fftn((1 - 2 * states).reshape(6, 3, 4, 5), axes=(1, 2, 3))) ** 2 / 60
    assert cal.structure_factor(model, (1, 3, 2))(states) == pytest.approx(spectrum[:, 1, 3, 2])
    smallest = (spectrum[:, 1, 0, 0] + spectrum[:, 0, 1, 0] + spectrum[:, 0, 0, 1]) / 3
    assert cal.structure_factor(model)(states) == pytest.approx(smallest)
    with pytest.raises(ValueError, match="sides"):
        cal.correlation_length(model)
    with pytest.raises(ValueError, match="integers"):
        cal.structure_factor(model, (1, 2))
    with pytest.raises(ValueError, match="periodic"):
        cal.structure_factor(cal.Ising.square((4, 4), periodic=False))
    assert not usual_measures(cal.Ising.complete(4)).functions


def test_overlaps_and_functions_of_means():
    glass = cal.Ising.square((3, 3), coupling="pm1", beta=0.7, seed=2)
    run = cal.run_chain(
        glass, cal.HeatBath("random"), sweeps=4000, seed=0, chains=6, measure_every=2, observables={"q": cal.overlap},
        functions={"cv": (lambda e, e2: e2 / e**2, ["energy", lambda series: series["energy"] ** 2])},
    )  # fmt: skip
    assert run.series["q"].shape == (3, 2000)
    s, p = enumerated(glass, 0.7)
    pairs = np.einsum("x,xi,xj->ij", p, s, s)
    value, error = run.estimate(lambda a: a, run.series["q"] ** 2)
    assert abs(value - (pairs**2).mean()) < 4.5 * error
    E = glass.energy(s)
    value, error = run.estimates["cv"]
    assert abs(value - (p @ E**2) / (p @ E) ** 2) < 4.5 * error
    value, error = run.estimate(lambda e: e, "energy")  # blocks of another length
    assert abs(value - run.estimates["energy"].value) < 0.2 * error


def test_arviz():
    arviz = pytest.importorskip("arviz")
    run = cal.run_chain(SQUARE, cal.HeatBath(), sweeps=50, seed=0, keep=True, observables={"q": cal.overlap})
    data = run.to_arviz()
    assert data.posterior["energy"].dims == ("chain", "draw")
    assert data.posterior["states"].shape == (4, 50, 16)
    assert data.posterior["states"].dims == ("chain", "draw", "site")
    assert data.posterior.attrs["left_out"] == "q"
    assert np.array_equal(data.posterior["energy"].values, run.series["energy"])
    assert float(arviz.ess(data, var_names=["energy"])["energy"]) > 0


SCRIPT = """
import warnings
import numpy as np
from calipers.sampling.arviz_export import inference_data
print(type(inference_data({"energy": np.zeros((2, 3))}, None, {})).__name__)
warnings.warn("mine", FutureWarning)
"""


def test_arviz_is_quiet_and_others_are_heard(tmp_path):
    pytest.importorskip("arviz")
    where = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}  # where arviz notes that it has warned today
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=where)
    assert done.stdout.strip() == "InferenceData"
    assert "refactor" not in done.stderr
    assert "mine" in done.stderr


def test_a_missing_extra_is_named(monkeypatch, found):
    monkeypatch.setitem(sys.modules, "arviz", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"calipers\[arviz\]"):
        found.points[0].run.to_arviz()
    with pytest.raises(ImportError, match=r"calipers\[arviz\]"):
        found.to_xarray()
