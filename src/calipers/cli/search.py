"""Runs one method on one model for a command, and keeps what it proved whatever ends it."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import typer

from calipers.cli.document import STOPPED
from calipers.cli.interrupt import Interrupts

_LEAST_WORK = 0.5  # seconds; a limit that start-up has used up still leaves one quick step


class Found(NamedTuple):
    """What a search came to: `reasons` says of each infinite side why."""

    answer: Any
    stopped: str
    reasons: dict[str, str]


def load_model(text: str, evidence: str | None, beta: float | None, interrupts: Interrupts) -> Any:
    """Reads a file or a spec, after everything heavy has been imported, which a stop must not cut short.

    **Raises:** `InputError`, `SpecError`; `typer.BadParameter` when an extra that the format needs is not installed.
    """
    from calipers.io import load

    with interrupts.held():
        import calipers.auto
        import calipers.variational.bethe  # noqa: F401
    try:
        return load(text, evidence, beta)
    except ModuleNotFoundError:
        raise  # a broken installation, not a missing extra
    except ImportError as error:
        raise typer.BadParameter(str(error)) from None


def make_limits(
    *, deadline: float, gap: float = 0.0, delta: float = 0.0, memory: float | None = None, beliefs: bool = False
) -> Any:
    """Limits of a run; `memory` in GB, None for most of what is free."""
    from calipers.cli.machine import usable_memory
    from calipers.core.method import Limits

    room = usable_memory() if memory is None else memory * 1e9
    soonest = time.monotonic() + _LEAST_WORK
    return Limits(deadline=max(deadline, soonest), gap=gap, delta=delta, memory=room, beliefs=beliefs)


def search(
    model: Any,
    method: Any,
    limits: Any,
    *,
    seed: int,
    interrupts: Interrupts,
    watch: Callable[[Any], None] = lambda answer: None,
    start: Any = None,
) -> Found:
    """Drives `method` from `start` until the limits, the end or a signal; `watch` sees every answer."""
    with interrupts.held():
        import jax

        key = jax.random.key(seed)
    from calipers.core.answer import Answer, Result
    from calipers.core.iterate import iterate
    from calipers.core.method import Refusal

    answer, result, reason = Answer() if start is None else start, None, ""
    try:
        for answer in iterate(model, method, key=key, limits=limits, start=start):
            watch(answer)
            if interrupts.asked:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        interrupts.hear()
        result = Result.INTERRUPTED
    except Refusal as refusal:
        result, reason = Result.REFUSED, str(refusal)
    except MemoryError:
        result, reason = Result.EXHAUSTED, "memory ran out"
    except Exception:
        if not interrupts.asked:
            raise
        interrupts.hear()  # what a library made of the interrupt
        result = Result.INTERRUPTED
    if result is not None:
        answer = answer & Answer(result=result)
    return Found(answer, STOPPED[answer.result.name], _reasons(answer, method, reason))


def _reasons(answer: Any, method: Any, reason: str) -> dict[str, str]:
    """Why a side is infinite, side by side."""
    from calipers.core.method import Proves

    sides = {"lower": (answer.lower, Proves.LOWER), "upper": (answer.upper, Proves.UPPER)}
    found = {}
    for name, (side, proof) in sides.items():
        if side.grounds == "none":
            cannot = "" if proof & method.proves else f"{method!r} proves no {name} bound"
            found[name] = " ".join((reason or cannot or side.reason).split())
    return found
