"""`load` and `save`: which reader is chosen, and what is said when none fits."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from calipers.io import load, save
from calipers.io.errors import InputError, SpecError
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising

MAGNET = Ising.square(3, coupling="gauss:1", field="gauss:0.1", beta=0.5, seed=1)


@pytest.mark.parametrize("suffix", [".npz", ".uai", ".json"])
def test_there_and_back(suffix, tmp_path):
    if suffix == ".json":
        pytest.importorskip("dimod")
    path = tmp_path / f"model{suffix}"
    save(MAGNET, path)
    found = load(path)
    for x in np.random.default_rng(0).integers(0, 2, (20, 9)):
        assert found.log_weight(x) == pytest.approx(MAGNET.log_weight(x), abs=1e-12)


def test_beta_multiplies_and_evidence_restricts():
    hot = load("square:3,beta=0.5", beta=2.0)
    assert isinstance(hot, Ising)
    assert hot.beta == 1.0
    seen = load("square:3,beta=0.5", "3=1,7=0", 2.0)
    assert isinstance(seen, FactorGraph)
    assert seen.evidence == ((3, 1), (7, 0))
    assert seen.log_weight(np.zeros(9, int)) == -math.inf


def test_a_file_comes_before_a_specification(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("square:3").n == 9
    (tmp_path / "square:3").mkdir()
    with pytest.raises(InputError, match="folder"):
        load("square:3")


@pytest.mark.parametrize(
    ("model", "error", "complaint"),
    [
        ("square:0", SpecError, "side"),
        ("square", SpecError, "square:16"),
        ("sqare:16x16", SpecError, "'square'"),
        ("missing.uai", InputError, "no such file"),
        ("missing.npz", InputError, "No such file"),
        ("missing.json", InputError, "No such file"),
        ("a:b.uai", InputError, "no such file"),
        ("missing", InputError, "square:16x16"),
        ("", InputError, "no such file"),
        ("nul\0.npz", InputError, "cannot be read"),
    ],
)
def test_what_is_neither(model, error, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=complaint):
        load(model)


def test_unknown_suffixes_and_folders(tmp_path):
    (tmp_path / "model.txt").write_text("MARKOV 0 0")
    with pytest.raises(InputError, match="ends in one of"):
        load(tmp_path / "model.txt")
    with pytest.raises(InputError, match="folder"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_files(tmp_path):
    path = tmp_path / "model.npz"
    path.touch(mode=0)
    with pytest.raises(InputError, match="denied"):
        load(path)


@pytest.mark.parametrize("beta", [-1.0, math.nan, math.inf])
def test_a_temperature_that_cannot_be(beta):
    with pytest.raises(SpecError, match="beta"):
        load("square:3", beta=beta)


def test_what_a_file_cannot_hold(tmp_path):
    potts = FactorGraph.from_tables((3, 3), [((0, 1), np.ones((3, 3)))])
    with pytest.raises(SpecError, match="not binary"):
        save(potts, tmp_path / "model.npz")
    with pytest.raises(SpecError, match="ends in"):
        save(potts, tmp_path / "model.txt")
    with pytest.raises(InputError, match="written"):
        save(MAGNET, tmp_path / "nowhere" / "model.npz")


def test_factor_graphs_that_are_magnets_are_saved_as_magnets(tmp_path):
    save(MAGNET.factor_graph(), tmp_path / "model.npz")
    assert isinstance(load(tmp_path / "model.npz"), Ising)


def test_the_errors_cost_no_heavy_import():
    code = "import sys, calipers.io.errors; print(*({'jax', 'scipy', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
