"""The main command: its document, its exit codes, and what it writes beside."""

import json
import math

import numpy as np
import pytest

import calipers as cal

GOOD = "MARKOV\n2\n2 2\n1\n2 0 1\n4 1 2 3 4\n"
WIDE = "square:20x20,J=pm1,h=gauss:0.1,beta=1,seed=1"  # too wide to be solved in the seconds given
FIELDS = {
    "model", "log_z", "grounds", "methods", "deterministic", "delta", "gap", "stopped", "reasons", "stats", "plan",
    "seconds", "seed", "version",
}  # fmt: skip


def test_the_document(run, uai):
    done = run("logz", uai(GOOD), "--json", "--log", "off", "--seed", "7")
    doc = done.json
    assert (done.code, done.err) == (0, "")
    assert set(doc) == FIELDS
    assert doc["log_z"]["lower"] <= math.log(10) <= doc["log_z"]["upper"]
    assert doc["grounds"] == {"lower": "exact", "upper": "exact"}
    assert (doc["stopped"], doc["seed"], doc["delta"], doc["reasons"]) == ("exact", 7, 0.0, {})
    assert (doc["model"]["variables"], doc["model"]["factors"], len(doc["model"]["sha256"])) == (2, 1, 64)
    assert doc["version"] == cal.__version__
    assert done.out.count("\n") == 1


def test_numbers_read_back_as_the_same_float(run):
    doc = run("logz", "square:3x3,beta=0.3", "--json", "--log", "off").json
    answer = cal.log_z(cal.from_spec("square:3x3,beta=0.3"))
    assert (doc["log_z"]["lower"], doc["log_z"]["upper"]) == (answer.lower.value, answer.upper.value)


def test_choices_of_a_spec_are_printed_back(run):
    spec = run("logz", "square:3x3,J=pm1", "--json", "--log", "off").json["model"]["spec"]
    assert "seed=" in spec
    assert "J=pm1" in spec


def test_a_side_that_a_method_cannot_prove_says_why(run):
    done = run("logz", "square:3x3", "--method", "MeanField()", "--json", "--log", "off")
    doc = done.json
    assert done.code == 3
    assert doc["log_z"]["upper"] == "inf"
    assert doc["grounds"] == {"lower": "computed", "upper": "none"}
    assert list(doc["reasons"]) == ["upper"]
    assert done.err.startswith("calipers: no upper bound: MeanField(")
    assert done.err.count("\n") == 1


def test_a_refusal_is_one_line_and_no_bracket(run):
    done = run("logz", "square:4x4", "--method", "Enumeration(limit=8)", "--json", "--log", "off")
    doc = done.json
    assert (done.code, doc["stopped"], doc["log_z"]["value"]) == (3, "refused", None)
    assert (doc["log_z"]["lower"], doc["log_z"]["upper"], doc["gap"]) == ("-inf", "inf", "inf")
    assert set(doc["reasons"]) == {"lower", "upper"}
    assert done.err.count("\n") == 1


def test_a_time_limit_leaves_a_bracket(run):
    done = run("logz", WIDE, "--json", "--log", "off", "--time-limit", "6")
    doc = done.json
    assert (done.code, doc["stopped"]) == (3, "time")
    assert -math.inf < doc["log_z"]["lower"] < doc["log_z"]["upper"] < math.inf


def test_a_met_gap_is_success(run):
    done = run("logz", WIDE, "--json", "--log", "off", "--gap", "1000")
    assert (done.code, done.json["stopped"]) == (0, "gap")


@pytest.mark.parametrize("evidence", [None, "0=0"])
def test_weight_zero_everywhere_is_no_error(run, uai, evidence):
    table = "0 0 0 0" if evidence is None else "0 0 1 1"
    words = [] if evidence is None else ["--evidence", evidence]
    done = run("logz", uai(f"MARKOV\n2\n2 2\n1\n2 0 1\n4 {table}\n"), "--json", "--log", "off", *words)
    assert done.code == 0
    assert done.json["log_z"]["lower"] == done.json["log_z"]["upper"] == "-inf"
    assert done.json["grounds"] == {"lower": "exact", "upper": "exact"}
    assert done.err.count("\n") == 1


def test_temperature_is_inverse_beta(run):
    both = [
        run("logz", "square:3x3", *w, "--json", "--log", "off").json["log_z"] for w in (["--T", "2"], ["--beta", "0.5"])
    ]
    assert both[0] == both[1]


def test_marginals_that_are_not_exact_come_with_bounds(run):
    call = (
        "logz",
        "square:3x4,J=pm1,h=0.2,open,seed=1,beta=1",
        "--method",
        "MeanField()",
        "--marginals",
        "--log",
        "off",
    )
    doc = run(*call, "--json", "--time-limit", "30").json
    truth = cal.moments(cal.from_spec("square:3x4,J=pm1,h=0.2,open,seed=1,beta=1"), cal.Elimination()).marginals
    assert doc["grounds"]["marginals"] == "none"
    assert doc["grounds"]["marginal_bounds"] == "exact"
    for low, p, high in zip(doc["marginal_bounds"]["lower"], truth, doc["marginal_bounds"]["upper"], strict=True):
        assert (np.array(low) <= p + 1e-12).all()
        assert (p <= np.array(high) + 1e-12).all()
    assert "bounds on marginals (exact)" in run(*call, "--time-limit", "30").out


def test_marginals_carry_their_own_grounds(run, uai):
    doc = run("logz", uai(GOOD), "--marginals", "--json", "--log", "off").json
    np.testing.assert_allclose(doc["marginals"], [[0.3, 0.7], [0.4, 0.6]], atol=1e-12)
    assert doc["grounds"]["marginals"] == "exact"
    assert "marginal_bounds" not in doc


def test_a_certificate_that_verifies(run, uai, tmp_path):
    model, file = uai(GOOD), str(tmp_path / "it.cert")
    assert run("logz", model, "--certificate", file, "--log", "off").code == 0
    done = run("verify", file, "--model", model, "--json")
    assert (done.code, done.json["accepted"]) == (0, True)
    assert done.json["sha256"] == run("logz", model, "--json", "--log", "off").json["model"]["sha256"]


def test_a_wide_bracket_has_a_certificate_too(run, tmp_path):
    file = str(tmp_path / "wide.cert")
    assert run("logz", WIDE, "--certificate", file, "--no-embed", "--log", "off", "--time-limit", "6").code == 3
    assert run("verify", file).code == 4  # the model was left out
    run("make", WIDE, "-o", str(tmp_path / "wide.npz"))
    assert run("verify", file, "--model", str(tmp_path / "wide.npz")).code == 0


def test_nothing_to_certify_is_said(run, tmp_path):
    file = tmp_path / "none.cert"
    done = run("logz", "square:3x3", "--method", "Bethe()", "--certificate", str(file), "--log", "off")
    assert done.code == 3
    assert "no certificate" in done.err
    assert not file.exists()


def test_uai_answers(run, uai, tmp_path):
    base = str(tmp_path / "answer")
    assert run("logz", uai(GOOD), "--format", "uai", "-o", base + ".PR", "--log", "off").code == 0
    head, number = (tmp_path / "answer.PR").read_text().split()
    assert head == "PR"
    assert float(number) == pytest.approx(1.0)
    words = (tmp_path / "answer.MAR").read_text().split()
    assert words[:3] == ["MAR", "2", "2"]
    assert float(words[3]) == pytest.approx(0.3)


def test_uai_answers_stand_in_the_working_directory(run, uai, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    model = uai(GOOD)
    monkeypatch.chdir(tmp_path / "here")
    run("logz", model, "--format", "uai", "--log", "off")
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["model.uai.MAR", "model.uai.PR"]


def test_for_people(run):
    done = run("logz", "square:3x3", "--log", "off")
    assert done.code == 0
    assert done.out.startswith("log Z ∈ [")
    assert "seed 0" in done.out
    assert done.out.count("exact") >= 2


def test_the_json_log_is_one_object_a_row(run):
    done = run("logz", WIDE, "--log", "json", "--json", "--time-limit", "6")
    rows = [json.loads(line) for line in done.err.splitlines()]
    assert len(rows) >= 2
    assert all(row["moved"] and set(row["grounds"]) == {"lower", "upper"} for row in rows)
    assert [float(r["gap"]) for r in rows] == sorted((float(r["gap"]) for r in rows), reverse=True)
    last = done.json["log_z"]
    assert (rows[-1]["lower"], rows[-1]["upper"]) == (last["lower"], last["upper"])


def test_the_plain_log_names_its_columns_once(run):
    err = run("logz", WIDE, "--log", "live", "--time-limit", "6").err  # no terminal here: plain
    assert err.splitlines()[0].split()[0] == "time"
    assert "computed" in err
    assert "\x1b" not in err


def test_resume_keeps_the_better_side(run, tmp_path):
    cert, spec = tmp_path / "a.cert", "square:4x4,J=pm1,h=gauss:0.1,seed=5"
    first = run(
        "logz", spec, "--method", "MiniBucket(ibound=2, sweeps=1)", "--certificate", cert, "--log", "off", "--json"
    )
    assert first.code == 3
    quick = ("--log", "off", "--json", "--certificate", cert, "--resume", cert)
    done = run("logz", spec, "--method", "Tangent(width=2, starts=1)", *quick)
    assert done.json["methods"]["upper"] == first.json["methods"]["upper"]
    assert done.json["log_z"]["upper"] == pytest.approx(first.json["log_z"]["upper"], rel=1e-15)
    assert done.json["methods"]["lower"].startswith("Tangent")
    assert done.json["grounds"] == {"lower": "computed", "upper": "computed"}
    assert run("verify", cert).code == 0
    again = run("logz", spec, "--gap", "1000", *quick)
    assert (again.code, again.json["stopped"]) == (0, "gap")
    assert again.json["methods"] == done.json["methods"]


def test_resume_from_another_model_is_bad_input(run, tmp_path):
    cert = tmp_path / "a.cert"
    run("logz", "square:3x3,T=2", "--certificate", cert, "--log", "off")
    done = run("logz", "square:3x3,T=3", "--resume", cert, "--log", "off")
    assert (done.code, done.out) == (5, "")
    assert done.err == f"calipers: {cert}: the certificate speaks of another model\n"
    for broken in (tmp_path / "none.cert", tmp_path):
        assert run("logz", "square:3x3,T=2", "--resume", broken, "--log", "off").code == 5


def test_resume_from_a_false_claim_is_bad_input(run, tmp_path):
    cert = tmp_path / "a.cert"
    model = cal.from_spec("square:3x3,T=2")
    certificate = cal.log_z(model).certificate
    low = next(c for c in certificate.claims if c.side == "lower")
    certificate._replace(claims=(low._replace(claim="99"),)).save(cert)
    done = run("logz", "square:3x3,T=2", "--resume", cert, "--log", "off")
    assert done.code == 5
    assert "contradicted" in done.err
    assert done.err.count("\n") == 1
