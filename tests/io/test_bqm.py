"""dimod JSON files: there and back, energies, and documents that dimod itself would not survive."""

import itertools
import json
import sys

import numpy as np
import pytest

from calipers.io.bqm import read_bqm, write_bqm
from calipers.io.errors import InputError
from calipers.models.ising import Ising

dimod = pytest.importorskip("dimod")

GOOD = dimod.BinaryQuadraticModel({"a": 0.5, ("b", 1): -1.0}, {("a", ("b", 1)): 2.0}, 1.5, "SPIN").to_serializable()


def test_there_and_back(tmp_path):
    model = Ising.from_arrays(
        np.array([[0, 1], [1, 2]]), np.array([0.1, -0.7]), np.array([0.3, 0.0, 1.0]), 0.3, 2.5, ["x", ("y", 0), 3]
    )
    path = tmp_path / "model.json"
    write_bqm(model, path)
    found = read_bqm(path)
    for name in ("edges", "couplings", "fields"):
        assert np.array_equal(getattr(found, name), getattr(model, name))
    assert (found.beta, found.offset, found.labels) == (0.3, 2.5, model.labels)
    assert dimod.BinaryQuadraticModel.from_serializable(json.loads(path.read_text())) == model.to_bqm()


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_log_weights_are_minus_beta_times_dimods_energies(vartype, tmp_path):
    bqm = dimod.BinaryQuadraticModel({"a": 0.5, "b": -1.0}, {"ab": 2.0, "bc": -0.75, "ca": 1.0}, -0.4, vartype)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(bqm.to_serializable()))
    model = read_bqm(path).tempered(0.7)
    assert model.labels is not None
    for x in itertools.product((0, 1), repeat=3):
        up = [1 - 2 * k if vartype == "SPIN" else 1 - k for k in x]
        energy = bqm.energy(dict(zip(model.labels, up, strict=True)))
        assert model.log_weight(np.array(x)) == pytest.approx(-0.7 * energy, abs=1e-14)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"type": "SampleSet"}, "this JSON is not one"),
        ({"use_bytes": True}, "bytes"),
        ({"quadratic_tail": [-1]}, "0 to 1"),
        ({"quadratic_tail": [10**12]}, "0 to 1"),
        ({"quadratic_tail": [1.0]}, "0 to 1"),
        ({"quadratic_tail": [True]}, "0 to 1"),
        ({"quadratic_tail": [0]}, "itself"),
        ({"quadratic_tail": []}, "different lengths"),
        ({"quadratic_biases": None}, "a list"),
        ({"linear_biases": [1.0]}, "different lengths"),
        ({"linear_biases": ["one", 1.0]}, "finite"),
        ({"linear_biases": [float("nan"), 1.0]}, "finite"),
        ({"linear_biases": [10**400, 1.0]}, "finite"),
        ({"offset": "much"}, "offset"),
        ({"variable_type": "INTEGER"}, "SPIN or BINARY"),
        ({"variable_labels": ["a", "a"]}, "twice"),
        ({"variable_labels": ["a", {}]}, "label"),
        ({"info": {"calipers_beta": -1.0}}, "beta"),
    ],
)
def test_documents_that_are_wrong(change, complaint, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(InputError, match=complaint) as caught:
        read_bqm(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "null", '{"type": 3}', "[" * 100_000, "\x00\xff", '{"a": ' + "9" * 5000 + "}", "12"]
)
def test_what_is_no_such_document(text, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        read_bqm(path)


def test_without_dimod_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(GOOD))
    monkeypatch.setitem(sys.modules, "dimod", None)
    with pytest.raises(ImportError, match=r"pip install 'calipers\[bqm\]'"):
        read_bqm(path)


def test_labels_that_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="labels"):
        write_bqm(Ising.from_arrays(np.array([[0, 1]]), labels=["a", frozenset()]), tmp_path / "model.json")
