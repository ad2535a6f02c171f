"""log Z of a model of a few configurations: every factor is added to one table of them all.

    log Z = top + log Σ_x e^{θ(x) − top},    θ = Σ_a θ_a, by NumPy's broadcasting

**Proves** log Z up to the rounding of enumeration: sums of a few thousand masses are taken pairwise in blocks of 128,
at most 24 additions deep. **Cost** some microseconds a factor. **Fails** to give marginals; `enumeration.py` does.
"""

import math
from itertools import pairwise

import numpy as np

from calipers.models.factor_graph import FactorGraph

CONFIGURATIONS, AXES = 4096, 24  # at most
_EPS = float(np.finfo(np.float64).eps)  # 2u


def sum_joint(graph: FactorGraph) -> tuple[float, float]:
    """log Z and its rounding error, by adding every factor to one table of all configurations: for few of them.

    **Raises:** `ValueError` when logs are so large that their sum may leave float64.
    """
    observed = dict(graph.evidence)
    sizes = [1 if v in observed else k for v, k in enumerate(graph.sizes)]
    joint, scale = np.zeros(sizes), 0.0
    for scope, logs in zip(graph.scopes, graph.log_tables(), strict=True):
        if observed:
            logs = logs[tuple(slice(observed[v], observed[v] + 1) if v in observed else slice(None) for v in scope)]
        shape = [1] * len(sizes)
        for v in scope:
            shape[v] = sizes[v]
        if any(a > b for a, b in pairwise(scope)):
            logs = logs.transpose(sorted(range(len(scope)), key=scope.__getitem__))
        scale += _largest(logs)
        if not scale < 1e300:
            raise ValueError("the logs of this model add up beyond float64; subtract a constant from each table")
        joint += logs.reshape(shape)
    top = float(joint.max())
    if top == -math.inf:
        return -math.inf, 0.0
    value = top + math.log(float(np.exp(joint - top).sum()))
    return value, rounding(len(graph.tables), scale, sizes, value, top)


def _largest(logs: np.ndarray) -> float:
    """max |θ| but for zeros."""
    low, high = float(logs.min()), float(logs.max())
    if low == -math.inf and high > -math.inf:
        low = float(logs[logs > -math.inf].min())
    return max(-low, high) if low > -math.inf else 0.0


def rounding(factors: int, scale: float, sizes: list[int], value: float, top: float) -> float:
    """The rounding of log Z by enumeration, doubled (`enumeration.py`); `scale` is Σ max |θ|, zeros apart."""
    spread = sum(sizes) + math.log(math.prod(sizes)) + 10
    return ((factors + 4) * scale + spread + 2 * abs(value) + abs(top)) * _EPS
