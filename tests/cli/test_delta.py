"""`--delta`: both brackets in the document, δ counted once, deterministic certificates, refusal without it."""

import math

import pytest

import calipers as cal
from calipers.cli import compare

MODEL = "square:5x5,J=pm1,h=gauss:0.1,beta=1,seed=1"
METHOD = "ImportanceSampling(ibound=3, samples=20000, orders=2)"


@pytest.fixture(scope="module")
def truth():
    return cal.log_z(cal.from_spec(MODEL), cal.Elimination()).value


def test_the_document_holds_both_brackets(run, truth):
    words = (
        "logz",
        MODEL,
        "--method",
        METHOD,
        "--delta",
        "0.02",
        "--gap",
        "0",
        "--json",
        "--log",
        "off",
        "--seed",
        "5",
    )
    doc = run(*words).json
    assert doc["grounds"] == {"lower": "statistical", "upper": "statistical"}
    assert doc["delta"] == pytest.approx(0.02)
    assert doc["log_z"]["lower"] <= truth <= doc["log_z"]["upper"]
    assert doc["deterministic"]["lower"] == "-inf"
    assert doc["log_z"]["upper"] < doc["deterministic"]["upper"] < math.inf
    assert truth <= doc["deterministic"]["upper"]
    assert doc["gap"] == pytest.approx(doc["log_z"]["upper"] - doc["log_z"]["lower"])
    again = run(*words).json
    assert again["log_z"] == doc["log_z"]
    other = run(*words[:-1], "6").json
    assert other["log_z"] != doc["log_z"]
    assert other["deterministic"] == doc["deterministic"]


def test_text_says_what_may_fail_and_the_certificate_is_of_the_deterministic_side(run, tmp_path, truth):
    path = tmp_path / "glass.cert"
    done = run(
        "logz", MODEL, "--method", METHOD, "--delta", "0.02", "--gap", "0", "--log", "off", "--certificate", path
    )
    assert "at δ = 0: [-inf, " in done.out
    assert "probability ≤ 0.02" in done.out
    checked = run("verify", path)
    assert checked.code == 0
    assert "statistical" not in checked.out


def test_without_delta_it_is_refused_in_one_line(run):
    done = run("logz", MODEL, "--method", METHOD, "--json", "--log", "off")
    assert (done.code, done.json["stopped"]) == (3, "refused")
    assert done.err.count("\n") == 1
    assert "delta" in done.err
    assert done.json["delta"] == 0.0


@pytest.mark.parametrize("bad", ["1", "-0.1", "nan", "x"])
def test_delta_is_a_probability(run, bad):
    assert run("logz", MODEL, "--delta", bad).code == 2


def test_compare_grants_delta_to_all(run, monkeypatch):
    statistical = {name: where for name, where in compare.METHODS.items() if name.startswith(("Import", "Annealed"))}
    monkeypatch.setattr(compare, "METHODS", statistical)
    doc = run("compare", MODEL, "--delta", "0.01", "--json", "--time-limit", "2").json
    rows = {row["method"].partition("(")[0]: row for row in doc["compared"]}
    assert rows["ImportanceSampling"]["stopped"] != "refused"
    assert rows["AnnealedImportance"]["grounds"]["lower"] == "statistical"
    refused = run("compare", MODEL, "--json", "--time-limit", "2").json["compared"]
    assert {row["stopped"] for row in refused} == {"refused"}
    assert run("compare", MODEL, "--delta", "2").code == 2
