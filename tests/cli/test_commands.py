"""compare, make, sweep and verify."""

import csv
import io

import numpy as np
import pytest

import calipers as cal
from calipers.cli.method_text import METHODS


def test_compare_shows_every_method_and_why_one_refuses(run):
    done = run("compare", "square:5x5,T=2.269", "--time-limit", "10", "--json")
    rows = {row["method"].partition("(")[0]: row for row in done.json["compared"]}
    assert done.code == 0
    assert set(rows) == set(METHODS) - {"Auto"}
    assert rows["Enumeration"]["stopped"] == "refused"
    assert rows["Enumeration"]["reasons"]["lower"]
    exact = rows["Elimination"]["log_z"]["value"]
    assert all(float(r["log_z"]["lower"]) - 1e-9 <= exact <= float(r["log_z"]["upper"]) + 1e-9 for r in rows.values())
    assert done.json["grounds"] == {"lower": "exact", "upper": "exact"}


def test_compare_for_people(run):
    done = run("compare", "square:3x3", "--time-limit", "10")
    assert done.code == 0
    assert len(done.out.splitlines()) == len(METHODS)  # a heading, and no row for Auto


def test_make_then_read(run, tmp_path):
    spec, file, text = "square:3x3,J=pm1,h=gauss:0.1,seed=2", str(tmp_path / "a.npz"), str(tmp_path / "a.uai")
    assert run("make", spec, "-o", file).code == 0
    assert run("make", file, "-o", text, "--T", "2", "--evidence", "3=1").code == 0
    made = cal.read_uai(text, evidence=text + ".evid")
    wanted = cal.from_spec(spec).tempered(0.5).condition({3: 1})
    assert cal.log_z(made).value == pytest.approx(cal.log_z(wanted).value, abs=1e-9)


def test_make_of_a_dimod_file(run, tmp_path):
    pytest.importorskip("dimod")
    file = str(tmp_path / "a.json")
    assert run("make", "square:3x3", "-o", file).code == 0
    assert cal.log_z(cal.load(file)).value == pytest.approx(cal.log_z(cal.from_spec("square:3x3")).value)


def test_sweep_brackets_every_point(run):
    done = run("sweep", "square:3x3", "--T", "1.5:3:3", "--h", "0,0.2")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert done.code == 0
    assert [(float(r["T"]), float(r["h"])) for r in rows] == [(t, h) for h in (0, 0.2) for t in (1.5, 2.25, 3.0)]
    for row in rows:
        assert float(row["lower"]) <= float(row["exact_log_z"]) <= float(row["upper"])
        assert float(row["mean_field_log_z"]) <= float(row["exact_log_z"]) + 1e-9


def test_sweep_observables_agree_with_enumeration(run):
    rows = list(csv.DictReader(io.StringIO(run("sweep", "square:3x3", "--beta", "0.4", "--h", "0.3").out)))
    magnet = cal.Ising.square((3, 3), field=0.3)
    states = np.array(np.unravel_index(np.arange(512), (2,) * 9)).T
    weight = np.array([magnet.log_weight(x) for x in states])
    p = np.exp(0.4 * weight - np.logaddexp.reduce(0.4 * weight))
    energy, square = -p @ weight, p @ weight**2
    assert float(rows[0]["exact_energy_per_site"]) == pytest.approx(energy / 9)
    assert float(rows[0]["exact_entropy_per_site"]) == pytest.approx(-p @ np.log(p) / 9)
    assert float(rows[0]["exact_magnetization_per_site"]) == pytest.approx(p @ (1 - 2 * states).mean(axis=1))
    assert float(rows[0]["exact_heat_capacity_per_site"]) == pytest.approx(0.16 * (square - energy**2) / 9, rel=1e-4)


def test_sweep_without_exact_columns_still_brackets(run):
    spec = "square:20x20,J=pm1,h=gauss:0.1,seed=1"
    row = next(csv.DictReader(io.StringIO(run("sweep", spec, "--T", "2", "--time-limit", "1").out)))
    assert row["exact_log_z"] == ""
    assert float(row["lower"]) < float(row["upper"]) < float("inf")


def test_sweep_writes_files(run, tmp_path):
    pytest.importorskip("matplotlib")
    table, figure = tmp_path / "s.csv", tmp_path / "s.png"
    done = run("sweep", "square:3x3", "--T", "1:3:4", "-o", str(table), "--figure", str(figure))
    assert (done.code, done.out) == (0, "")
    assert len(table.read_text().splitlines()) == 5
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_damaged_certificate_is_rejected(run, tmp_path):
    file = tmp_path / "it.cert"
    run("logz", "square:3x3", "--certificate", str(file), "--log", "off")
    other = str(tmp_path / "other.npz")
    run("make", "square:3x3,beta=0.9", "-o", other)
    assert run("verify", str(file), "--model", other).code == 4
    file.write_bytes(file.read_bytes()[:200])
    done = run("verify", str(file))
    assert done.code in (4, 5)
    assert done.err.count("\n") + done.out.count("\n") == 1
