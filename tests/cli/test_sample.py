"""calipers sample: files, diagnostics, evidence, the most probable configurations, and what goes wrong."""

import csv
import io
import math
import signal

import numpy as np
import pytest

import calipers as cal
from calipers.cli.sample_files import write
from calipers.exact import sampling
from calipers.exact.sampler import sampler

GOOD = "MARKOV\n3\n2 2 3\n2\n2 0 1\n2 1 2\n4 1 2 3 4\n6 1 0 2 3 1 1\n"
NOTHING = "MARKOV\n2\n2 2\n1\n2 0 1\n4 0 0 0 0\n"


def in_pieces(states):
    """`sampler`, with so many states a call."""
    return lambda method, model, limits: sampler(method, model, limits)._replace(at_once=states)


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def test_an_npz_holds_samples_and_diagnostics(run, tmp_path):
    file = str(tmp_path / "run.npz")
    done = run("sample", "square:4x4,T=2.269", "-n", "500", "-o", file, "--seed", "3")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert "500 independent samples" in done.out
    assert "seed 3" in done.out
    with np.load(file) as held:  # nothing pickled
        found = dict(held)
    magnet = cal.from_spec("square:4x4,T=2.269")
    assert found["states"].dtype == np.int8
    assert np.array_equal(found["states"], cal.sample(magnet, 500, seed=3).states)
    assert (str(found["method"]), bool(found["independent"]), float(found["effective_size"])) == (
        "Elimination()", True, 500.0,
    )  # fmt: skip
    assert "state 0 is spin +1" in str(found["convention"])
    assert found["log_z"][0] <= cal.log_z(magnet).value <= found["log_z"][1]
    assert len(str(found["sha256"])) == 64


def test_a_csv_has_a_row_a_sample(run, tmp_path, uai):
    file = tmp_path / "run.csv"
    assert run("sample", uai(GOOD), "-n", "20", "-o", str(file)).code == 0
    head, *body = rows(file.read_text())
    assert head == ["x0", "x1", "x2"]
    assert np.array_equal(np.array(body, int), cal.sample(cal.load(uai(GOOD)), 20, seed=0).states)


def test_labels_head_the_columns(tmp_path):
    pair = cal.Ising.from_arrays(np.array([[0, 1]]), labels=("a", ("b", 1)))
    doc = {"samples": {}, "seed": 0, "model": {"source": "", "sha256": ""}, "log_z": {"lower": "-inf", "upper": 0.0}}
    for name in ("it.csv", "it.npz"):
        write(str(tmp_path / name), np.array([[0, 1]], np.int8), None, pair, doc)
    assert rows((tmp_path / "it.csv").read_text()) == [["a", "('b', 1)"], ["0", "1"]]
    with np.load(tmp_path / "it.npz") as held:
        assert held["labels"].tolist() == ["a", "('b', 1)"]
        assert held["log_z"].tolist() == [-math.inf, 0.0]


def test_without_a_file_rows_go_to_stdout_and_words_to_stderr(run):
    done = run("sample", "chain:5", "-n", "4")
    assert (done.code, len(rows(done.out))) == (0, 5)
    assert done.err.count("\n") == 1
    assert len(rows(run("sample", "chain:3").out)) == 1001  # the default


def test_the_document(run, tmp_path):
    done = run("sample", "chain:5", "-n", "4", "--json", "--seed", "2")
    doc = done.json
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert doc["samples"] == {"count": 4, "independent": True, "effective_size": 4.0, "method": "Elimination()"}
    assert doc["states"] == cal.sample(cal.Ising.chain(5), 4, seed=2).states.tolist()
    assert (doc["seed"], doc["stopped"], doc["file"], doc["model"]["variables"]) == (2, "exact", None, 5)
    assert doc["grounds"] == {"lower": "exact", "upper": "exact"}
    file = str(tmp_path / "a.npz")
    doc = run("sample", "chain:5", "-n", "4", "--json", "-o", file).json
    assert doc["file"] == file
    assert "states" not in doc


def test_evidence_and_temperature_are_heeded(run, uai):
    states = run("sample", uai(GOOD), "-n", "300", "--evidence", "1=0", "--json").json["states"]
    assert {x[1] for x in states} == {0}
    assert {x[2] for x in states} == {0, 2}  # p(x_2 = 1 | x_1 = 0) = 0
    cold = run("sample", "chain:8", "-n", "50", "--T", "0.05", "--json").json["states"]
    assert {len(set(x)) for x in cold} == {1}
    hot = run("sample", "chain:8", "-n", "200", "--beta", "0", "--json").json["states"]
    assert abs(np.mean(hot) - 0.5) < 5 * 0.5 / math.sqrt(1600)


def test_the_most_probable(run, tmp_path, uai):
    done = run("sample", uai(GOOD), "--most-probable", "2")
    head, first, second = rows(done.out)
    assert (done.code, head) == (0, ["log_weight", "x0", "x1", "x2"])
    assert first[1:] == ["1", "1", "0"]
    assert second[1:] in (["1", "0", "2"], ["0", "1", "0"])  # a tie
    assert [float(first[0]), float(second[0])] == pytest.approx([math.log(12), math.log(6)])
    best = cal.most_probable(cal.load(uai(GOOD)), 2)
    assert [float(first[0]), float(second[0])] == best.log_weights.tolist()
    file = str(tmp_path / "best.npz")
    assert run("sample", uai(GOOD), "--most-probable", "2", "-o", file).code == 0
    with np.load(file) as held:
        assert np.array_equal(held["states"], best.states)
        assert np.array_equal(held["log_weights"], best.log_weights)
    doc = run("sample", uai(GOOD), "--most-probable", "2", "--json").json
    assert doc["samples"]["log_weights"] == best.log_weights.tolist()
    few = run("sample", uai(GOOD), "--most-probable", "50", "--json")
    assert (few.code, few.json["samples"]["count"]) == (0, 10)
    assert "only 10 configurations" in few.err


def test_what_is_too_wide_is_refused_with_the_estimate(run, tmp_path):
    file = tmp_path / "no.npz"
    for words in (["-n", "5"], ["--most-probable", "2"]):
        done = run("sample", "complete:70,J=pm1,seed=1", *words, "-o", str(file))
        assert (done.code, done.out) == (3, "")
        assert "2^" in done.err
        assert done.err.count("\n") == 1
        assert not file.exists()
    doc = run("sample", "complete:70,J=pm1,seed=1", "--json").json
    assert (doc["stopped"], doc["states"]) == ("refused", None)
    assert "2^" in doc["reasons"]["samples"]


def test_a_method_that_does_not_sample_says_so(run):
    done = run("sample", "chain:5", "--method", "Bethe()")
    assert (done.code, done.out) == (3, "")
    assert "Bethe(" in done.err
    assert run("sample", "chain:5", "-n", "2", "--method", "Elimination(order_seconds=0.1)").code == 0


def test_nothing_to_sample(run, uai, tmp_path):
    file = tmp_path / "no.csv"
    done = run("sample", uai(NOTHING), "-o", str(file))
    assert (done.code, done.out, file.exists()) == (3, "", False)
    assert "weight zero" in done.err
    done = run("sample", uai(NOTHING), "--most-probable", "3", "--json")
    assert (done.code, done.json["states"]) == (0, [])


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "0"],
        ["-n", "5", "--most-probable", "2"],
        ["--most-probable", "2", "--method", "Bethe()"],
        ["-o", "run.txt"],
        ["-o", "/nowhere/run.npz"],
        ["--method", "Nothing()"],
        ["--beta", "1", "--T", "1"],
        ["--evidence", "9=0"],
    ],
)
def test_wrong_usage_is_one_line(run, words):
    done = run("sample", "chain:5", *words)
    assert done.code in (2, 5)
    assert done.out == ""
    assert done.err.count("\n") == 1


def test_a_time_limit_keeps_what_was_drawn(run, monkeypatch):
    monkeypatch.setattr(sampling, "sampler", in_pieces(5))  # one sample between two looks at the clock
    done = run("sample", "chain:5", "-n", "1000000", "--time-limit", "0.1", "--json")
    count = done.json["samples"]["count"]
    assert (done.code, done.json["stopped"]) == (3, "time")
    assert 0 < count == len(done.json["states"]) < 1_000_000


def test_an_interrupt_keeps_what_was_drawn(run, tmp_path, monkeypatch):
    file, all_of_them = tmp_path / "part.npz", sampling.draws
    expected = cal.sample(cal.Ising.square(6), 200, seed=0).states

    def two_then_stop(*args):
        pieces = all_of_them(*args)
        yield next(pieces)
        yield next(pieces)
        signal.raise_signal(signal.SIGINT)
        yield from pieces

    monkeypatch.setattr(sampling, "sampler", in_pieces(100 * 36))
    monkeypatch.setattr(sampling, "draws", two_then_stop)
    done = run("sample", "square:6x6", "-n", "100000", "-o", str(file))
    assert done.code == 130
    assert "200 independent samples" in done.out
    assert "interrupted" in done.out
    with np.load(file) as held:
        assert np.array_equal(held["states"], expected)


def test_wide_ferromagnets_are_sampled_perfectly(run, tmp_path):
    file = str(tmp_path / "run.npz")
    done = run("sample", "cubic:8x8x8,T=6", "-n", "3", "-o", file, "--json", "--time-limit", "900")
    assert (done.code, done.json["samples"]["method"]) == (0, "PerfectSampling()")
    assert done.json["samples"]["independent"] is True
    assert np.load(file)["states"].shape == (3, 512)
    late = run("sample", "square:20x20,T=1", "--method", "PerfectSampling('spins')", "--time-limit", "3")
    assert late.code == 3
    assert "cut short" in late.err
