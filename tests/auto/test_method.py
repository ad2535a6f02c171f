"""What Auto chooses, and that a refusal in the middle leaves it with bounds."""

import numpy as np
import pytest

import calipers as cal
from calipers.auto import method as auto
from calipers.auto import routes
from calipers.core.method import Limits, Refusal
from calipers.exact.ordering import best_order
from calipers.exact.probing import sharpened
from calipers.models.factor_graph import FactorGraph


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        ("square:64x64,T=2.5", "ClosedForm"),
        ("square:40x40,J=pm1,beta=1,open,seed=1", "Planar"),
        ("square:8x8,J=pm1,h=gauss:0.1,beta=1,seed=1", "Elimination"),
        ("complete:200,J=0.005", "ClosedForm"),
    ],
)
def test_the_exact_route(spec, chosen):
    answer = cal.log_z(cal.from_spec(spec), time_limit=60)
    assert answer.exact
    assert answer.lower.method.startswith(chosen)


def refuses(*_):
    raise Refusal("too cold")


def test_a_route_that_refuses_in_the_middle_leaves_bounds(monkeypatch):
    glass = cal.Ising.square((9, 9), coupling="pm1", beta=1.0, periodic=False, seed=1)
    truth = cal.log_z(glass, cal.Elimination()).value

    def solved(route):
        yield from ()
        return "too cold"

    monkeypatch.setattr(auto, "_solved", solved)
    answer = cal.log_z(glass, time_limit=20, gap=5.0)
    assert -np.inf < answer.lower.value <= truth <= answer.upper.value < np.inf


def test_a_vast_magnet_falls_back_on_pairs(monkeypatch):
    monkeypatch.setattr(auto, "_LARGE", 50)
    magnet = cal.Ising.square((8, 8), coupling="pm1", beta=1.0, seed=1)
    monkeypatch.setattr(routes.Planar, "answers", refuses)
    monkeypatch.setattr(routes.TransferMatrix, "plan", refuses)
    answer = cal.log_z(magnet, time_limit=20, gap=1e3)
    assert -np.inf < answer.lower.value < answer.upper.value < np.inf


def test_constraints_are_counted(monkeypatch):
    """Where elimination is out of reach, propagation and a cache may still count."""
    monkeypatch.setattr(auto, "_HOPELESS", 0.0)
    rng = np.random.default_rng(0)
    clause = np.ones((2, 2, 2))
    clause[0, 0, 0] = 0.0
    scopes = [tuple((k + rng.choice(6, 3, replace=False)).tolist()) for k in range(30)]
    graph = FactorGraph.from_tables([2] * 36, [(s, clause) for s in scopes])
    exact = cal.log_z(graph, cal.Elimination()).value
    reduced = sharpened(graph, Limits())
    situation = auto._Situation(graph, reduced, best_order(reduced.model.domains, list(reduced.model.scopes), trials=1))
    last = list(auto._searched(situation, Limits(), None))[-1]
    assert last.exact
    assert last.lower.method == "ModelCounting()"
    assert last.value == pytest.approx(exact, abs=1e-9)
