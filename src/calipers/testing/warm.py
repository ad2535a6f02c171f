"""Compiles the kernels of the discrete methods once, so that no user's time limit pays for it: `make install` runs it.

Small models are enough, one with zeros and one magnet: numba caches what it compiles beside the source.
"""

from calipers import zoo
from calipers.core.iterate import log_z
from calipers.core.method import Refusal
from calipers.models.factor_graph import FactorGraph
from calipers.testing.soundness import METHODS, OF_MAGNETS

_SECONDS = 60.0  # of one method on one model


def clauses() -> FactorGraph:
    """Twelve variables, each three in a row not all equal: counting has to branch."""
    table = [[[float(not a == b == c) for c in range(2)] for b in range(2)] for a in range(2)]
    scopes = [(i, (i + j) % 12, (i + k) % 12) for i in range(12) for j, k in ((1, 2), (3, 7))]
    return FactorGraph.from_tables((2,) * 12, [(scope, table) for scope in scopes])


def warm() -> None:
    """Runs every method on each model that it takes."""
    magnet = next(example.model for example in zoo.models() if example.name == "glass")
    for model, methods in ((clauses(), METHODS), (magnet, (*METHODS, *OF_MAGNETS))):
        for method in methods:
            try:
                log_z(model, method, time_limit=_SECONDS, gap=0.0)
            except Refusal:
                continue  # not a model of its kind


if __name__ == "__main__":
    warm()
