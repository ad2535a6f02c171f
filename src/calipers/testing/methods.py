"""What every method must pass: `check_method`."""

import dataclasses
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from calipers import zoo
from calipers.core.answer import Answer, Belief, Grounds, Result, Side
from calipers.core.iterate import iterate
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.exact.enumeration import enumerate_all
from calipers.testing.requirements import require, slack_of


def check_method(
    method: AbstractMethod,
    *,
    key: Any = None,
    models: Iterable[zoo.ZooModel] | None = None,
    seconds: float = 60.0,
    delta: float = 0.0,
) -> None:
    """Checks that a method keeps the contract.

    Its repr spells it; its plan prints; it refuses by `Refusal` alone, and not everything; every answer is true, proves
    no more than `proves` says (unless it is exact), and is never changed after it was given; the same input gives the
    same answer; what it says it proves, it proves somewhere.

    **Arguments:** `method`; `key`, a typed `jax.random.key` for random methods; `models`, None for the whole zoo;
    `seconds` that it may take on one model; `delta`, the failure probability that it is granted: with `key` fixed, its
    statistical sides are tested like any other.

    **Raises:** `AssertionError` saying what was broken, by which method, on which model.
    """
    _check_spelling(method)
    finals = {}
    for example in zoo.models() if models is None else models:
        try:
            answer = _check_on(method, example, key, seconds, delta)
        except AssertionError as error:
            raise AssertionError(f"{method!r} on {example.name!r}: {error}") from error
        if answer is not None:
            finals[example.name] = answer
    require(bool(finals), f"{method!r} refused every model")
    finite = [a for a in finals.values() if a.lower.value != a.upper.value or math.isfinite(a.lower.value)]
    for side, flag in (("lower", Proves.LOWER), ("upper", Proves.UPPER)):
        if finite and flag in method.proves:
            reached = any(math.isfinite(getattr(a, side).value) for a in finite)
            require(reached, f"{method!r} says that it proves a {side} bound, but gave none on any model")


def _check_spelling(method: AbstractMethod) -> None:
    """It is frozen, says what it proves, and its repr makes it again."""
    require(isinstance(method, AbstractMethod), f"{method!r} is no AbstractMethod")
    require(isinstance(method.proves, Proves), f"{method!r}.proves is {method.proves!r}, not one of Proves")
    text = repr(method)
    try:
        again = eval(text, {"inf": math.inf, "nan": math.nan}, _spelled(method))
    except Exception as error:
        raise AssertionError(f"the repr {text} does not evaluate: {error!r}") from error
    same = type(again) is type(method) and repr(again) == text and bool(again == method)
    require(same, f"the repr {text} makes another method: {again!r}")
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


def _check_on(method: AbstractMethod, example: zoo.ZooModel, key: Any, seconds: float, delta: float) -> Answer | None:
    """All checks on one model; the last answer, None when the method refused it."""
    first, again = (_run(method, example, key, seconds, delta) for _ in range(2))
    require((first is None) == (again is None), "it refused the model once, and took it once")
    if first is None or again is None:
        return None
    if Result.TIME_LIMIT not in (first.result, again.result):
        same = all(_same(getattr(first, side), getattr(again, side)) for side in ("lower", "upper"))
        same = same and first.value == again.value
        require(same, f"the same input gave {first} (value {first.value}) and {again} (value {again.value})")
    _check_final(method, example, first)
    _check_driven(method, example, key, seconds, delta)
    return first


def _run(method: AbstractMethod, example: zoo.ZooModel, key: Any, seconds: float, delta: float) -> Answer | None:
    """Every answer of one run, checked as it comes and again at the end; the intersection of all of them."""
    limits = Limits(deadline=time.monotonic() + seconds, delta=delta, beliefs=True)
    given: list[tuple[Answer, tuple]] = []
    best = Answer()
    try:
        plan = method.plan(example.model, limits)
        require(isinstance(plan, Plan) and bool(str(plan).strip()), "its plan does not print")
        for answer in method.answers(example.model, plan, key):
            _check_answer(method, example, answer, delta)
            given.append((answer, _frozen(answer)))
            best = best & answer
            if time.monotonic() > limits.deadline:
                best = best & Answer(result=Result.TIME_LIMIT)
                break
    except Refusal as reason:
        require(bool(str(reason)) and not given, "it refused without a reason, or after it had answered")
        return None
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"it raised {error!r}; the only way to decline a model is Refusal") from error
    require(bool(given), "it took the model, but gave no answer")
    require(
        all(_frozen(a) == was for a, was in given), "an answer that it had given was changed, or became worse, later"
    )
    return best


def _check_answer(method: AbstractMethod, example: zoo.ZooModel, answer: Answer, delta: float) -> None:
    """One answer is true, rests on grounds, and proves no more than the method says."""
    require(isinstance(answer, Answer), f"it yielded a {type(answer).__name__}, not an Answer")
    slack, z = slack_of(example.log_z), example.log_z
    for name, side, nothing in (("lower", answer.lower, -math.inf), ("upper", answer.upper, math.inf)):
        _check_side(name, side, nothing, delta)
        moved, flag = side.value != nothing, Proves.LOWER if name == "lower" else Proves.UPPER
        allowed = flag in method.proves or side.grounds is Grounds.EXACT
        require(not moved or allowed, f"it moved the {name} side to {side.value}, but it {method.proves} only")
    require(answer.delta <= delta * (1.0 + 1e-9), f"it spent {answer.delta} of a failure probability of {delta}")
    require(answer.lower.value <= z + slack, f"its lower side {answer.lower.value!r} lies above log Z = {z!r}")
    require(answer.upper.value >= z - slack, f"its upper side {answer.upper.value!r} lies below log Z = {z!r}")
    value = answer.value
    require(value is None or (isinstance(value, float) and not math.isnan(value)), f"its value is {value!r}")
    if answer.exact and value is not None:
        require(value == z or abs(value - z) <= slack, f"its exact value is {value!r}, but log Z = {z!r}")
    if isinstance(answer.belief, Belief) and z > -math.inf:
        _check_belief(example, answer.belief)


def _check_side(name: str, side: Side, nothing: float, delta: float) -> None:
    """A side is a number on grounds; deterministic unless a δ was granted; certified by the checker alone."""
    require(
        isinstance(side.value, float) and not math.isnan(side.value), f"its {name} side is {side.value!r}, no number"
    )
    require((side.grounds is not Grounds.NONE) or side.value == nothing, f"its {name} side {side.value} has no grounds")
    require(side.value != -nothing or side.value < 0, f"its {name} side is +inf, which log Z never is")
    looked = side.grounds is Grounds.STATISTICAL or side.value == nothing  # in vain, perhaps
    allowed = side.delta <= delta if looked else side.delta == 0.0
    require(allowed, f"its {name} side may fail with probability {side.delta}, and {delta} was granted")
    require(side.grounds is not Grounds.CERTIFIED, f"its {name} side says certified; only the checker says that")
    require(
        side.grounds is Grounds.NONE or bool(side.method), f"its {name} side does not name the method that moved it"
    )


def _check_belief(example: zoo.ZooModel, belief: Belief) -> None:
    """Marginals are distributions over the domains; exact ones are the model's own."""
    graph = example.model.factor_graph()
    tables = [*belief.marginals, *(belief.factors or ())]
    shapes = [(k,) for k in graph.sizes] + ([np.shape(t) for t in graph.tables] if belief.factors is not None else [])
    require(
        [np.shape(t) for t in tables] == shapes,
        f"its beliefs have shapes {[np.shape(t) for t in tables]}, not {shapes}",
    )
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
        require(answer.exact, f"it says that log Z is known exactly, on grounds {answer.grounds}")
    if method.proves is Proves.EQUAL and answer.result is not Result.TIME_LIMIT:
        narrow = answer.gap <= 1e-6 * max(1.0, abs(example.log_z) if math.isfinite(example.log_z) else 1.0)
        require(answer.exact and narrow, f"it says that it computes log Z, but ended with {answer}")


def _check_driven(method: AbstractMethod, example: zoo.ZooModel, key: Any, seconds: float, delta: float) -> None:
    """Under the driver the bracket only narrows, and the last answer says why it is the last."""
    limits = Limits(deadline=time.monotonic() + seconds, delta=delta)
    last = Answer()
    for answer in iterate(example.model, method, key=key, limits=limits):
        nested = last.lower.value <= answer.lower.value and answer.upper.value <= last.upper.value
        require(nested, f"the bracket widened from {last} to {answer}")
        last = answer
    require(last.result is not Result.RUNNING, "the last answer does not say why it is the last")
    _check_answer(method, example, last, delta)


def _same(a: Side, b: Side) -> bool:
    return (a.value, a.grounds) == (b.value, b.grounds)


def _frozen(answer: Answer) -> tuple:
    """What an answer says now, to be compared with what it says later."""
    belief = answer.belief
    tables = (*belief.marginals, *(belief.factors or ())) if isinstance(belief, Belief) else ()
    sides = [(s.value, s.grounds, s.method) for s in (answer.lower, answer.upper)]
    return (*sides, answer.value, *(np.asarray(t).tobytes() for t in tables))
