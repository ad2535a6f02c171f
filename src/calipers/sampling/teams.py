"""Threads that advance one lattice together, half a sweep at a time, and wait for each other inside compiled code.

Each thread tells by a number how many half sweeps it has done, and begins the next when all others have done as many.
It looks for a while and then returns, so that a thread that the system has put aside costs little; whoever called it
gives way and calls again. Loads acquire and stores release: what was written before is seen.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

PATIENCE = 20_000  # looks at the others before giving way
_APART = 8  # words between two threads' numbers: a cache line


def progress(team: int) -> np.ndarray:
    """The half sweeps done by each member, (team, 8), of which the first column counts."""
    return np.zeros((team, _APART), np.int64)


def run_team(team: int, part: Callable[[int, np.ndarray, int], int], until: int) -> list[Callable[[], None]]:
    """Tasks that take `until` half sweeps together; all must run at once.

    **Arguments:** `part`, a function of a member, the progress and the number to reach, that returns how far it came.
    """
    done = progress(team)

    def member(k: int) -> None:
        while part(k, done, until) < until:
            time.sleep(0)

    return [lambda k=k: member(k) for k in range(team)]  # type: ignore[misc]


def at_once(tasks: list[Callable[[], None]], threads: int) -> None:
    """Runs tasks on so many threads."""
    if threads == 1 or len(tasks) == 1:
        for task in tasks:
            task()
        return
    with ThreadPoolExecutor(threads) as pool:
        for running in [pool.submit(task) for task in tasks]:
            running.result()


@intrinsic
def _load(typingctx, array, index):
    """array[index], read after everything that was written before it was stored."""

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.gep(view.data, [args[1]])
        return builder.load_atomic(place, ordering="acquire", align=8)

    return types.int64(array, types.intp), codegen


@intrinsic
def _store(typingctx, array, index, value):
    """array[index] = value, seen by others after everything written before it."""

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.gep(view.data, [args[1]])
        builder.store_atomic(args[2], place, ordering="release", align=8)
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(array, types.intp, types.int64), codegen


@njit(cache=True, nogil=True)
def others_have(done, me, count):
    """Waits until all members have done `count` half sweeps; whether they have."""
    flat, team = done.reshape(-1), len(done)
    for k in range(team):
        if k != me:
            looks = 0
            while _load(flat, k * done.shape[1]) < count:  # type: ignore[call-arg]
                looks += 1
                if looks > PATIENCE:
                    return False
    return True


@njit(cache=True, nogil=True)
def has_done(done, me):
    """The half sweeps that member `me` has done."""
    return _load(done.reshape(-1), me * done.shape[1])  # type: ignore[call-arg]


@njit(cache=True, nogil=True)
def tell(done, me, count):
    """Says that member `me` has done `count` half sweeps."""
    _store(done.reshape(-1), me * done.shape[1], np.int64(count))  # type: ignore[call-arg]
