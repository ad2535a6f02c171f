"""A deadline that passes while numba compiles is heard afterwards, and what was compiled is whole."""

import time

import numpy as np
from numba import njit

import calipers as cal
from calipers.core.answer import Answer, Result
from calipers.core.compiling import compiling
from calipers.core.iterate import log_z
from calipers.core.method import AbstractMethod, Limits, Plan, Proves


@njit
def _kernel(x):
    total = 0.0
    for a in x:
        for b in x:
            total += a * b if a > b else a - b
    return total


class Compiles(AbstractMethod):
    """Compiles a function, and then waits."""

    proves = Proves.NOTHING

    def plan(self, model, limits=Limits()):
        return Plan("compile", limits=limits)

    def answers(self, model, plan, key=None):

        _kernel(np.ones(3))
        time.sleep(30.0)
        yield Answer()


def test_the_compiler_is_not_interrupted():
    njit(lambda x: x)(1.0)  # numba sets itself up at its first compilation, which may be interrupted
    assert not compiling()
    assert log_z(cal.Ising.chain(3), Compiles(), time_limit=0.01).result is Result.TIME_LIMIT
    assert len(_kernel.signatures) == 1

    assert _kernel(np.array([1.0, 2.0])) == 1.0
