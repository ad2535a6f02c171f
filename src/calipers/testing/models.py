"""What every model must pass: `check_model`."""

import itertools
import math
from collections.abc import Iterable

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph
from calipers.models.tempered import condition, tempered
from calipers.testing.requirements import require

_VISITS = 1024  # configurations that check_model looks at
_SMALL = 2**16  # configurations that it enumerates, several times


def check_model(model: AbstractDiscreteModel, *, seed: int = 0) -> None:
    """Checks that a model is one measure, whichever way one asks.

    Domains are counts; log weights are never NaN or +inf, do not change, and agree with the factor graph on every
    configuration, or on random ones; powers multiply log weights and keep zeros; clamping one variable to each of its
    states in turn adds up to log Z.

    **Arguments:** `model`; `seed` of the configurations that are visited when there are too many.

    **Raises:** `AssertionError` saying what was broken; `TypeError` when it is no discrete model.
    """
    if not isinstance(model, AbstractDiscreteModel):
        raise TypeError(f"check_model takes an AbstractDiscreteModel, not {type(model).__name__}")
    graph = _check_domains(model)
    random = np.random.default_rng(seed)
    visits = list(_configurations(graph, random))
    weights = np.array([_log_weight(model, x) for x in visits])
    _check_graph(graph, visits, weights)
    _check_powers(model, visits, weights, random)
    if math.prod(graph.sizes) <= _SMALL:
        _check_masses(model, graph, weights)


def _check_domains(model: AbstractDiscreteModel) -> FactorGraph:
    """Domains are counts, and the factor graph has the same variables."""
    domains = np.asarray(model.domains)
    counts = domains.ndim == 1 and domains.dtype.kind in "iu" and bool((domains >= 1).all())
    require(counts, f"its domains are {model.domains!r}; they are integers of 1 or more, shape (n,)")
    require(model.n == len(domains), f"it has n = {model.n}, but {len(domains)} domains")
    graph = model.factor_graph()
    require(isinstance(graph, FactorGraph), f"its factor graph is {type(graph).__name__}")
    require(graph.sizes == tuple(domains.tolist()), f"its domains are {domains}, its factor graph's {graph.sizes}")
    for a, table in enumerate(graph.log_tables()):
        number = not (np.isnan(table).any() or np.isposinf(table).any())
        require(number, f"factor {a} of its factor graph has a log weight that is NaN or +inf")
    return graph


def _configurations(graph: FactorGraph, random: np.random.Generator) -> Iterable[np.ndarray]:
    """Every configuration, or random ones, half of them in agreement with the evidence."""
    if math.prod(graph.sizes) <= _VISITS:
        yield from (np.array(x, np.int64) for x in itertools.product(*map(range, graph.sizes)))
        return
    for visit in range(_VISITS):
        x = random.integers(0, graph.domains)
        if visit % 2:
            for v, state in graph.evidence:
                x[v] = state
        yield x


def _log_weight(model: AbstractDiscreteModel, x: np.ndarray) -> float:
    """The log weight of x, asked for twice."""
    asked = x.copy()
    first, second = float(model.log_weight(asked)), float(model.log_weight(asked))
    if math.isnan(first) or first == math.inf:
        raise AssertionError(f"the log weight of {x} is {first}; it is a number, or −inf")
    if first != second or not np.array_equal(asked, x):
        raise AssertionError(f"the log weight of {x} is {first}, then {second}")
    return first


def _compare(found: np.ndarray, expected: np.ndarray, visits: list[np.ndarray], scale: float, what: str) -> None:
    """Equal up to rounding, and −inf in the same places."""
    for x, a, b in zip(visits, found.tolist(), expected.tolist(), strict=True):
        if a != b and not abs(a - b) <= 1e-11 * (1.0 + scale):
            raise AssertionError(f"{what} of {x} is {a!r}, but its log weight makes it {b!r}")


def _scale(graph: FactorGraph) -> float:
    """The sum of the largest finite |log entry| of each table: what rounding is relative to."""
    return math.fsum(float(np.abs(t[np.isfinite(t)]).max(initial=0.0)) for t in map(np.asarray, graph.log_tables()))


def _check_graph(graph: FactorGraph, visits: list[np.ndarray], weights: np.ndarray) -> None:
    found = np.array([graph.log_weight(x) for x in visits])
    _compare(found, weights, visits, _scale(graph), "the factor graph's log weight")


def _check_powers(
    model: AbstractDiscreteModel, visits: list[np.ndarray], weights: np.ndarray, random: np.random.Generator
) -> None:
    """The power β multiplies log weights; zeros stay zero, at β = 0 too."""
    for beta in (0.0, 0.5, 2.0):
        power = tempered(model, beta)
        few = random.permutation(len(visits))[:256].tolist()
        some = [visits[i] for i in few]
        expected = np.array([w if w == -math.inf else beta * w for w in weights[few]])
        for way, other in (("log weight", power), ("factor graph's log weight", power.factor_graph())):
            found = np.array([float(other.log_weight(x)) for x in some])
            _compare(found, expected, some, 2.0 * _scale(model.factor_graph()), f"at {beta} times β, the {way}")


def _check_masses(model: AbstractDiscreteModel, graph: FactorGraph, weights: np.ndarray) -> None:
    """log Z is the sum over the configurations, and over the states of any variable."""
    log_z = enumerate_all(graph)[0]
    parts = {f"variable {v}": _clamped(model, graph, v) for v in range(min(graph.n, 8))}
    if len(weights) == math.prod(graph.sizes):
        parts["every configuration"] = weights
    slack = 1e-9 * max(1.0, abs(log_z)) if math.isfinite(log_z) else 0.0
    for what, logs in parts.items():
        total = float(np.logaddexp.reduce(logs, initial=-math.inf))
        close = total == log_z or abs(total - log_z) <= slack
        require(close, f"log Z is {log_z!r}, but adding up over {what} makes it {total!r}")


def _clamped(model: AbstractDiscreteModel, graph: FactorGraph, v: int) -> np.ndarray:
    """log Z of the model with variable v clamped to each of its states that the evidence allows."""
    seen = dict(graph.evidence)
    states = [seen[v]] if v in seen else range(graph.sizes[v])
    return np.array([enumerate_all(condition(model, {v: state}).factor_graph())[0] for state in states])
