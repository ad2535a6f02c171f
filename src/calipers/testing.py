"""The contract tests: what every method and every model must pass, ours and yours.

    check_method(MyMethod())       on the whole zoo: refuses politely or answers truly, proves no more than it says
    check_model(MyModel(...))      its log weights, factor graph, powers and restrictions are one and the same measure

Both raise `AssertionError` with one sentence saying which promise was broken, by what and where. A pass is no proof: a
bound that is wrong only on large or special models gets through. **Cost** `check_method` runs a method three times on
some forty small models, `check_model` visits at most 1024 configurations and enumerates what is small enough.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from calipers import zoo
from calipers.core.answer import Answer, Belief, Grounds, Result, Side
from calipers.core.iterate import iterate
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.enumeration import enumerate_all
from calipers.models.factor_graph import FactorGraph
from calipers.models.tempered import condition, tempered

TOLERANCE = 1e-9  # nats, relative to max(1, |log Z|)
_VISITS = 1024  # configurations that check_model looks at
_SMALL = 2**16  # configurations that it enumerates, several times


def check_method(
    method: AbstractMethod, *, key: Any = None, models: Iterable[zoo.ZooModel] | None = None, seconds: float = 60.0
) -> None:
    """Checks that a method keeps the contract.

    Its repr spells it; its plan prints; it refuses by `Refusal` alone, and not everything; every answer is true, proves
    no more than `proves` says (unless it is exact), and is never changed after it was given; the same input gives the
    same answer; what it says it proves, it proves somewhere.

    **Arguments:** `method`; `key`, a typed `jax.random.key` for random methods; `models`, None for the whole zoo;
    `seconds` that it may take on one model.

    **Raises:** `AssertionError` saying what was broken, by which method, on which model.
    """
    _check_spelling(method)
    finals = {}
    for example in zoo.models() if models is None else models:
        try:
            answer = _check_on(method, example, key, seconds)
        except AssertionError as error:
            raise AssertionError(f"{method!r} on {example.name!r}: {error}") from error
        if answer is not None:
            finals[example.name] = answer
    _require(bool(finals), f"{method!r} refused every model")
    finite = [a for a in finals.values() if a.lower.value != a.upper.value or math.isfinite(a.lower.value)]
    for side, flag in (("lower", Proves.LOWER), ("upper", Proves.UPPER)):
        if finite and flag in method.proves:
            reached = any(math.isfinite(getattr(a, side).value) for a in finite)
            _require(reached, f"{method!r} says that it proves a {side} bound, but gave none on any model")


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


def _require(kept: bool, message: str) -> None:
    if not kept:
        raise AssertionError(message)


def _slack(log_z: float) -> float:
    return TOLERANCE * max(1.0, abs(log_z)) if math.isfinite(log_z) else 0.0


# ---- methods ---------------------------------------------------------------------------------------------------------


def _check_spelling(method: AbstractMethod) -> None:
    """It is frozen, says what it proves, and its repr makes it again."""
    _require(isinstance(method, AbstractMethod), f"{method!r} is no AbstractMethod")
    _require(isinstance(method.proves, Proves), f"{method!r}.proves is {method.proves!r}, not one of Proves")
    text = repr(method)
    try:
        again = eval(text, {"inf": math.inf, "nan": math.nan}, _spelled(method))
    except Exception as error:
        raise AssertionError(f"the repr {text} does not evaluate: {error!r}") from error
    same = type(again) is type(method) and repr(again) == text and bool(again == method)
    _require(same, f"the repr {text} makes another method: {again!r}")
    for field in dataclasses.fields(method):
        try:
            setattr(method, field.name, getattr(method, field.name))
        except dataclasses.FrozenInstanceError:
            continue
        raise AssertionError(f"{text} is not frozen: its {field.name} could be set")


def _spelled(method: AbstractMethod) -> dict[str, type]:
    """The class of a method and those of the methods inside it, by name."""
    names = {type(method).__name__: type(method)}
    for field in dataclasses.fields(method):
        inner = getattr(method, field.name)
        for item in inner if isinstance(inner, tuple | list) else (inner,):
            if isinstance(item, AbstractMethod):
                names |= _spelled(item)
    return names


def _check_on(method: AbstractMethod, example: zoo.ZooModel, key: Any, seconds: float) -> Answer | None:
    """All checks on one model; the last answer, None when the method refused it."""
    first, again = (_run(method, example, key, seconds) for _ in range(2))
    _require((first is None) == (again is None), "it refused the model once, and took it once")
    if first is None or again is None:
        return None
    if Result.TIME_LIMIT not in (first.result, again.result):
        same = all(_same(getattr(first, side), getattr(again, side)) for side in ("lower", "upper"))
        same = same and first.value == again.value
        _require(same, f"the same input gave {first} (value {first.value}) and {again} (value {again.value})")
    _check_final(method, example, first)
    _check_driven(method, example, key, seconds)
    return first


def _run(method: AbstractMethod, example: zoo.ZooModel, key: Any, seconds: float) -> Answer | None:
    """Every answer of one run, checked as it comes and again at the end; the intersection of all of them."""
    limits = Limits(deadline=time.monotonic() + seconds, beliefs=True)
    given: list[tuple[Answer, tuple]] = []
    best = Answer()
    try:
        plan = method.plan(example.model, limits)
        _require(isinstance(plan, Plan) and bool(str(plan).strip()), "its plan does not print")
        for answer in method.answers(example.model, plan, key):
            _check_answer(method, example, answer)
            given.append((answer, _frozen(answer)))
            best = best & answer
            if time.monotonic() > limits.deadline:
                best = best & Answer(result=Result.TIME_LIMIT)
                break
    except Refusal as reason:
        _require(bool(str(reason)) and not given, "it refused without a reason, or after it had answered")
        return None
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"it raised {error!r}; the only way to decline a model is Refusal") from error
    _require(bool(given), "it took the model, but gave no answer")
    _require(all(_frozen(a) == was for a, was in given), "an answer that it had given was changed, or became worse, later")
    return best


def _check_answer(method: AbstractMethod, example: zoo.ZooModel, answer: Answer) -> None:
    """One answer is true, rests on grounds, and proves no more than the method says."""
    _require(isinstance(answer, Answer), f"it yielded a {type(answer).__name__}, not an Answer")
    slack, z = _slack(example.log_z), example.log_z
    for name, side, nothing in (("lower", answer.lower, -math.inf), ("upper", answer.upper, math.inf)):
        _check_side(name, side, nothing)
        moved, flag = side.value != nothing, Proves.LOWER if name == "lower" else Proves.UPPER
        allowed = flag in method.proves or side.grounds is Grounds.EXACT
        _require(not moved or allowed, f"it moved the {name} side to {side.value}, but it {method.proves} only")
    _require(answer.lower.value <= z + slack, f"its lower side {answer.lower.value!r} lies above log Z = {z!r}")
    _require(answer.upper.value >= z - slack, f"its upper side {answer.upper.value!r} lies below log Z = {z!r}")
    value = answer.value
    _require(value is None or (isinstance(value, float) and not math.isnan(value)), f"its value is {value!r}")
    if answer.exact and value is not None:
        _require(value == z or abs(value - z) <= slack, f"its exact value is {value!r}, but log Z = {z!r}")
    if answer.belief is not None and z > -math.inf:
        _check_belief(example, answer.belief)


def _check_side(name: str, side: Side, nothing: float) -> None:
    """A side is a number on grounds; deterministic, since nobody granted it a δ; certified by the checker alone."""
    _require(isinstance(side.value, float) and not math.isnan(side.value), f"its {name} side is {side.value!r}, no number")
    _require((side.grounds is not Grounds.NONE) or side.value == nothing, f"its {name} side {side.value} has no grounds")
    _require(side.value != -nothing or side.value < 0, f"its {name} side is +inf, which log Z never is")
    allowed = side.grounds is not Grounds.STATISTICAL and side.delta == 0.0
    _require(allowed, f"its {name} side may fail with probability {side.delta}, and none was granted")
    _require(side.grounds is not Grounds.CERTIFIED, f"its {name} side says certified; only the checker says that")
    _require(side.grounds is Grounds.NONE or bool(side.method), f"its {name} side does not name the method that moved it")


def _check_belief(example: zoo.ZooModel, belief: Belief) -> None:
    """Marginals are distributions over the domains; exact ones are the model's own."""
    graph = example.model.factor_graph()
    tables = [*belief.marginals, *(belief.factors or ())]
    shapes = [(k,) for k in graph.sizes] + ([np.shape(t) for t in graph.tables] if belief.factors is not None else [])
    _require([np.shape(t) for t in tables] == shapes, f"its beliefs have shapes {[np.shape(t) for t in tables]}, not {shapes}")
    for place, table in enumerate(tables):
        if not (np.min(table, initial=0.0) >= -1e-12 and abs(np.sum(table) - 1.0) < 1e-6):
            raise AssertionError(f"its belief number {place} is no distribution: {table}")
    if belief.grounds is Grounds.EXACT:
        _, _, marginals, factors = enumerate_all(graph)
        for place, (table, true) in enumerate(zip(tables, (*marginals, *factors), strict=False)):
            if not np.allclose(table, true, rtol=0.0, atol=1e-8):
                raise AssertionError(f"its belief number {place} is {table}, said to be exact; it is {true}")


def _check_final(method: AbstractMethod, example: zoo.ZooModel, answer: Answer) -> None:
    """What the method computes, it has computed in the end."""
    if answer.result is Result.EXACT:
        _require(answer.exact, f"it says that log Z is known exactly, on grounds {answer.grounds}")
    if method.proves is Proves.EQUAL and answer.result is not Result.TIME_LIMIT:
        narrow = answer.gap <= 1e-6 * max(1.0, abs(example.log_z) if math.isfinite(example.log_z) else 1.0)
        _require(answer.exact and narrow, f"it says that it computes log Z, but ended with {answer}")


def _check_driven(method: AbstractMethod, example: zoo.ZooModel, key: Any, seconds: float) -> None:
    """Under the driver the bracket only narrows, and the last answer says why it is the last."""
    limits = Limits(deadline=time.monotonic() + seconds)
    last = Answer()
    for answer in iterate(example.model, method, key=key, limits=limits):
        nested = last.lower.value <= answer.lower.value and answer.upper.value <= last.upper.value
        _require(nested, f"the bracket widened from {last} to {answer}")
        last = answer
    _require(last.result is not Result.RUNNING, "the last answer does not say why it is the last")
    _check_answer(method, example, last)


def _same(a: Side, b: Side) -> bool:
    return (a.value, a.grounds) == (b.value, b.grounds)


def _frozen(answer: Answer) -> tuple:
    """What an answer says now, to be compared with what it says later."""
    belief = answer.belief
    tables = () if belief is None else (*belief.marginals, *(belief.factors or ()))
    sides = [(s.value, s.grounds, s.method) for s in (answer.lower, answer.upper)]
    return (*sides, answer.value, *(np.asarray(t).tobytes() for t in tables))


# ---- models ----------------------------------------------------------------------------------------------------------


def _check_domains(model: AbstractDiscreteModel) -> FactorGraph:
    """Domains are counts, and the factor graph has the same variables."""
    domains = np.asarray(model.domains)
    counts = domains.ndim == 1 and domains.dtype.kind in "iu" and bool((domains >= 1).all())
    _require(counts, f"its domains are {model.domains!r}; they are integers of 1 or more, shape (n,)")
    _require(model.n == len(domains), f"it has n = {model.n}, but {len(domains)} domains")
    graph = model.factor_graph()
    _require(isinstance(graph, FactorGraph), f"its factor graph is {type(graph).__name__}")
    _require(graph.sizes == tuple(domains.tolist()), f"its domains are {domains}, its factor graph's {graph.sizes}")
    for a, table in enumerate(graph.log_tables()):
        number = not (np.isnan(table).any() or np.isposinf(table).any())
        _require(number, f"factor {a} of its factor graph has a log weight that is NaN or +inf")
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
        _require(close, f"log Z is {log_z!r}, but adding up over {what} makes it {total!r}")


def _clamped(model: AbstractDiscreteModel, graph: FactorGraph, v: int) -> np.ndarray:
    """log Z of the model with variable v clamped to each of its states that the evidence allows."""
    seen = dict(graph.evidence)
    states = [seen[v]] if v in seen else range(graph.sizes[v])
    return np.array([enumerate_all(condition(model, {v: state}).factor_graph())[0] for state in states])
