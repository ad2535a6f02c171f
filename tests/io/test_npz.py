"""Magnets in .npz files: there and back, scipy's matrices, and files that are damaged or unsafe."""

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from calipers.io.errors import InputError, InputWarning
from calipers.io.npz import read_npz, write_npz
from calipers.models.ising import Ising

GOOD: dict[str, Any] = {
    "edges": np.array([[0, 1], [1, 2]]),
    "couplings": np.array([1.0, -2.0]),
    "fields": np.zeros(3),
    "beta": 0.5,
}


def saved(folder, **entries):
    path = folder / "model.npz"
    np.savez(path, **entries)
    return path


@pytest.mark.parametrize(
    "model",
    [
        Ising.square((3, 4), coupling="gauss:1", field="gauss:0.1", beta=0.1, seed=1),
        Ising.from_arrays(np.zeros((0, 2), np.int64), fields=np.array([1.0, 2.0])),
        Ising.from_arrays(GOOD["edges"], GOOD["couplings"], 0.0, 2.0, -1.25, ["a", ("b", 1), 7]),
    ],
)
def test_there_and_back(model, tmp_path):
    path = tmp_path / "model.npz"
    write_npz(model, path)
    found = read_npz(path)
    for name in ("edges", "couplings", "fields"):
        assert np.array_equal(getattr(found, name), getattr(model, name))
    assert (found.beta, found.offset, found.labels) == (model.beta, model.offset, model.labels)


def test_files_written_elsewhere(tmp_path):
    edges = np.array([[2, 1], [0, 1]], np.uint8)
    model = read_npz(saved(tmp_path, edges=edges, couplings=np.array([1, -1]), fields=np.zeros(3, np.float32)))
    assert (model.edges.tolist(), model.couplings.tolist(), model.beta) == ([[0, 1], [1, 2]], [-1.0, 1.0], 1.0)


def test_labels_that_cannot_be_written(tmp_path):
    model = Ising.from_arrays(GOOD["edges"], labels=["a", frozenset(), "c"])
    with pytest.raises(ValueError, match="label"):
        write_npz(model, tmp_path / "model.npz")


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_scipy_matrices(form, tmp_path):
    path = tmp_path / "J.npz"
    upper = sp.coo_array(([2.0, -1.0, 0.5], ([0, 1, 0], [1, 2, 3])), shape=(5, 5))
    sp.save_npz(path, upper.asformat(form))
    model = read_npz(path)
    assert model.edges.tolist() == [[0, 1], [0, 3], [1, 2]]
    assert model.couplings.tolist() == [2.0, 0.5, -1.0]
    assert (model.n, model.beta, model.fields.tolist()) == (5, 1.0, [0.0] * 5)
    assert model.energy([1, 1, -1, 1, 1]) == -2.0 - 1.0 - 0.5  # a positive coupling favours equal spins


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        (sp.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]])), "upper triangle"),
        (sp.csr_array(np.array([[1.0, 1.0], [0.0, 0.0]])), "diagonal"),
        (sp.csr_array(np.ones((2, 3))), "square"),
        (sp.csr_array(np.array([[0.0, np.nan], [0.0, 0.0]])), "finite"),
        (sp.csr_array(np.array([[0.0, 1j], [0.0, 0.0]])), "real"),
        (sp.dia_array(np.triu(np.ones((3, 3)), 1)), "csr, csc or coo"),
    ],
)
def test_scipy_matrices_that_are_no_magnets(matrix, complaint, tmp_path):
    path = tmp_path / "J.npz"
    sp.save_npz(path, matrix)
    with pytest.raises(InputError, match=complaint):
        read_npz(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"indices": np.array([1, 9])}, "indices"),
        ({"indptr": np.array([0, 2])}, "size|index"),
        ({"indptr": np.array([0, 5, 2, 2])}, "index|decreas|size"),
        ({"shape": np.array([10**15, 10**15])}, "GB"),
        ({"shape": np.array([3])}, "shape"),
        ({"format": np.array("hex")}, "csr, csc or coo"),
    ],
)
def test_scipy_matrices_that_are_damaged(change, complaint, tmp_path):
    entries = {"format": np.array("csr"), "shape": np.array([3, 3]), "data": np.ones(2)}
    entries |= {"indices": np.array([1, 2]), "indptr": np.array([0, 1, 2, 2]), **change}
    with pytest.raises(InputError, match=complaint):
        read_npz(saved(tmp_path, **entries))


def test_published_instances(shared_data):
    path = shared_data / "spin_glass" / "2D_EA_PM_L12_0.npz"
    if not path.is_file():
        pytest.skip(f"no published spin glasses at {path.parent}")
    model = read_npz(path)
    assert (model.n, model.e, set(model.couplings.tolist())) == (144, 288, {-1.0, 1.0})
    assert set(np.bincount(model.edges.ravel()).tolist()) == {4}
    graph = read_npz(path.parent / "RRG_PM_d3_N64_1.npz")
    assert (graph.n, graph.e, set(np.bincount(graph.edges.ravel()).tolist())) == (64, 96, {3})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"edges": None}, "edges missing"),
        ({"fields": None, "couplings": None}, "couplings, fields missing"),
        ({"edges": np.array([[0, 0], [1, 2]])}, "to itself"),
        ({"edges": np.array([[0, 1], [1, 3]])}, "join sites"),
        ({"edges": np.array([[0, 1], [1, -1]])}, "join sites"),
        ({"edges": np.array([[0.0, 1.0], [1.0, 2.0]])}, "integers"),
        ({"edges": np.array([0, 1, 1, 2])}, "shape"),
        ({"couplings": np.array([1.0])}, "couplings"),
        ({"couplings": np.array([1.0, np.inf])}, "finite"),
        ({"couplings": np.array(["1", "2"])}, "numbers"),
        ({"couplings": np.array(1.0)}, "one dimension"),
        ({"fields": np.zeros((3, 1))}, "one dimension"),
        ({"fields": np.array([0, np.nan, 0])}, "finite"),
        ({"beta": -1.0}, "beta"),
        ({"beta": np.nan}, "beta"),
        ({"beta": np.array([1.0, 2.0])}, "one number"),
        ({"beta": "cold"}, "one number"),
        ({"labels": np.array(["not json", "1", "2"])}, "JSON"),
        ({"labels": np.array(["1", "2"])}, "label"),
        ({"edges": np.array([[{}, 1], [1, 2]], object)}, "pickled"),
    ],
)
def test_entries_that_are_wrong(change, complaint, tmp_path):
    entries = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    path = saved(tmp_path, **entries)
    with pytest.raises(InputError, match=complaint) as caught:
        read_npz(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_unknown_entries_are_ignored_with_a_warning(tmp_path):
    path = saved(tmp_path, **GOOD, extra=np.ones(3))
    with pytest.warns(InputWarning, match="extra"):
        read_npz(path)


def test_every_truncation_and_flipped_byte_is_caught_or_harmless(tmp_path):
    """No other exception than InputError, whatever is done to the bytes."""
    whole = saved(tmp_path, **GOOD).read_bytes()
    path, rng = tmp_path / "damaged.npz", np.random.default_rng(0)
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError):
            read_npz(path)
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            read_npz(path)
        except InputError:
            pass
        except InputWarning:  # a name of an optional entry was hit
            pass


def header_only(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(16)


def test_arrays_larger_than_their_bytes_are_not_allocated(tmp_path):
    path = tmp_path / "huge.npz"
    for shape in ((10**14,), (2**40, 2**40), (-2,)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("couplings.npy", header_only(shape))
        with pytest.raises(InputError, match="bytes do not fill"):
            read_npz(path)


def test_what_is_no_npz(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(pickle.dumps(GOOD))
    with pytest.raises(InputError, match="npz"):
        read_npz(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_npz(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="folder"):
        read_npz(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match="npz"):
        read_npz(path)
