"""calipers sample with Markov kernels: diagnostics, files, and what goes wrong."""

import signal

import numpy as np
import pytest
import typer

import calipers as cal
from calipers.cli.method_text import SAMPLERS, parse_sampler


@pytest.mark.parametrize("name", SAMPLERS)
def test_reprs_round_trip(name):
    kernel = parse_sampler(name)
    assert isinstance(kernel, getattr(cal, name))
    assert repr(parse_sampler(repr(kernel))) == repr(kernel)


def test_arguments_of_kernels():
    assert parse_sampler("HeatBath('coloured')") == cal.HeatBath("coloured")
    assert parse_sampler("parallel-tempering") == cal.ParallelTempering()
    assert parse_sampler("ParallelTempering(replicas=3, hottest=0.5)") == cal.ParallelTempering(3, 0.5)
    assert parse_sampler("Elimination()") == cal.Elimination()
    for bad in (
        "HeatBath('odd')",
        "Wolff(1)",
        "Gibbs(order=open('x'))",
        "Wolff(",
        "Gibbs(order=3)",
        "Metropolis().x",
        "Wolf",
    ):
        with pytest.raises(typer.BadParameter):
            parse_sampler(bad)


def test_samples_come_with_diagnostics(run, tmp_path):
    file = str(tmp_path / "run.npz")
    words = ["sample", "square:4x4,T=2.5", "-n", "8000", "--method", "SwendsenWang()", "--seed", "3"]
    done = run(*words, "-o", file, "--every", "2", "--burn-in", "50")
    assert (done.code, done.err) == (0, "")
    assert "NOT independent" in done.out
    with np.load(file) as held:  # nothing pickled
        found = dict(held)
    assert found["states"].shape == (8000, 16)
    assert not found["independent"]
    assert 100 < found["effective_size"] < 8000
    assert found["tau_energy"] >= 2.0
    assert found["r_hat_energy"] == pytest.approx(1.0, abs=0.01)
    assert (found["every"], found["burn_in"], found["chains"], bool(found["reliable"])) == (2, 50, 4, True)
    magnet = cal.from_spec("square:4x4,T=2.5")
    same = cal.run_chain(magnet, cal.SwendsenWang(), sweeps=4000, measure_every=2, burn_in=50, seed=3, keep=True)
    assert np.array_equal(found["states"], same.states.reshape(-1, 16))
    doc = run(*words, "--json").json
    assert doc["samples"]["independent"] is False
    assert doc["grounds"] == {"lower": "none", "upper": "none"}  # a chain says nothing of log Z


def test_short_chains_are_told(run, tmp_path):
    done = run("sample", "square:16x16,T=2.269", "-n", "40", "--method", "HeatBath()", "-o", str(tmp_path / "a.csv"))
    assert done.code == 0
    assert "not reliable" in done.err
    assert "autocorrelation" in done.err


def test_frustration_is_one_line(run):
    done = run("sample", "square:4x4,J=pm1,seed=1", "-n", "400", "--method", "Wolff()", "--json")
    assert (done.code, done.json["samples"]["count"]) == (0, 400)
    assert "frustrated" in done.err


def test_refusals_and_usage(run):
    done = run("sample", "square:4x4", "--method", "Multispin()")
    assert (done.code, done.out) == (3, "")
    assert "128" in done.err
    done = run("sample", "square:4x4", "--every", "3")
    assert done.code == 2
    assert "Markov" in done.err
    done = run("sample", "square:32x32", "-n", "10000000", "--method", "HeatBath()", "--memory", "1")
    assert done.code == 3
    assert "GB" in done.err


def test_an_interrupt_keeps_what_was_drawn(run, monkeypatch):
    from calipers.sampling import chain

    measure = chain.Chain._advance

    def stop_after_nine(self, position):
        if position.measured == 9:
            signal.raise_signal(signal.SIGINT)
        return measure(self, position)

    monkeypatch.setattr(chain.Chain, "_advance", stop_after_nine)
    done = run("sample", "square:4x4", "-n", "4000", "--method", "HeatBath()", "--burn-in", "0", "--json")
    assert (done.code, done.json["stopped"], done.json["samples"]["count"]) == (130, "interrupted", 36)
    same = cal.run_chain(cal.from_spec("square:4x4"), cal.HeatBath(), sweeps=9, burn_in=0, seed=0, keep=True)
    assert done.json["states"] == same.states.reshape(-1, 16).tolist()


def test_a_time_limit_keeps_what_was_drawn(run):
    done = run(
        "sample",
        "square:4x4",
        "-n",
        "400000",
        "--method",
        "HeatBath()",
        "--burn-in",
        "0",
        "--time-limit",
        "1",
        "--json",
    )
    assert (done.code, done.json["stopped"]) == (3, "time")
    assert 0 < len(done.json["states"]) < 400_000
