"""networkx graphs and dimod models as magnets, and back."""

import sys

import numpy as np
import pytest

from calipers.models.ising import Ising
from calipers.models.spins import to_spins

SPINS = to_spins(np.arange(8)[:, None] >> np.arange(3) & 1)
MAGNET = Ising.from_arrays(
    np.array([[0, 1], [1, 2]]), np.array([1.5, -0.25]), np.array([0.5, 0.0, -1.0]), 0.7, 2.5, ["a", ("b", 1), 7]
)


def same(a: Ising, b: Ising) -> bool:
    arrays = all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ("edges", "couplings", "fields"))
    return arrays and (a.offset, a.labels) == (b.offset, b.labels)


def test_networkx_there_and_back():
    pytest.importorskip("networkx")
    graph = MAGNET.to_networkx()
    assert graph.nodes["a"]["field"] == 0.5
    assert graph.edges["a", ("b", 1)]["coupling"] == 1.5
    found = Ising.from_networkx(graph)
    assert same(found, MAGNET)
    assert found.beta == 0.7
    assert Ising.from_networkx(graph, beta=2.0).beta == 2.0


def test_networkx_graphs_of_others():
    nx = pytest.importorskip("networkx")
    model = Ising.from_networkx(nx.cycle_graph(4))
    assert (model.n, model.couplings.tolist(), model.labels) == (4, [1.0] * 4, (0, 1, 2, 3))
    multi = nx.MultiGraph()
    multi.add_edge("u", "v", weight=1.0)
    multi.add_edge("v", "u", weight=2.5)
    assert Ising.from_networkx(multi, coupling="weight").couplings.tolist() == [3.5]
    assert Ising.from_networkx(nx.empty_graph(3)).n == 3


def test_networkx_graphs_that_are_no_magnets():
    nx = pytest.importorskip("networkx")
    with pytest.raises(ValueError, match="undirected"):
        Ising.from_networkx(nx.DiGraph([(0, 1)]))
    with pytest.raises(ValueError, match="to itself"):
        Ising.from_networkx(nx.Graph([(0, 0)]))
    graph = nx.Graph()
    graph.add_edge(0, 1, coupling="strong")
    with pytest.raises(ValueError, match="finite number"):
        Ising.from_networkx(graph)


def test_bqm_there_and_back():
    pytest.importorskip("dimod")
    assert same(Ising.from_bqm(MAGNET.to_bqm()), MAGNET)


def test_energies_are_dimods():
    dimod = pytest.importorskip("dimod")
    linear, quadratic = {"a": 0.5, "b": -1.0, "c": 0.0}, {("a", "b"): 2.0, ("c", "b"): -0.75}
    for vartype in ("SPIN", "BINARY"):
        bqm = dimod.BinaryQuadraticModel(linear, quadratic, 1.25, vartype)
        model = Ising.from_bqm(bqm, beta=2.0)
        assert model.labels is not None
        assert sorted(map(str, model.labels)) == ["a", "b", "c"]
        for s in SPINS:
            values = s if vartype == "SPIN" else (s + 1) / 2
            energy = bqm.energy(dict(zip(model.labels, values, strict=True)))
            assert model.energy(s) == pytest.approx(energy, abs=1e-14)
            assert model.log_weight((1 - s) / 2) == pytest.approx(-2 * energy, abs=1e-13)


@pytest.mark.parametrize(
    ("module", "name", "write"),
    [("networkx", "graphs", Ising.to_networkx), ("dimod", "bqm", Ising.to_bqm)],
)
def test_a_missing_library_names_its_extra(module, name, write, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'calipers\[{name}\]'"):
        write(MAGNET)
