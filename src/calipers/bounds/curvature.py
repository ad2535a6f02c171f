"""Deterministic sides of log Z for a log density of bounded curvature: log-concave posteriors above all.

    A ⪯ −∇²f(u) ⪯ B everywhere, A ≻ 0, and a point m with g = ∇f(m):
    f(m) + ½ gᵀB⁻¹g − ½ log det(B/2π)  ≤  log Z  ≤  f(m) + ½ gᵀA⁻¹g − ½ log det(A/2π)

The quadratics that touch f at m stay below and above it, and integrate to Gaussians (docs/theorems.md, theorem V5);
best at the mode. **Proves** both sides from what the model says of its curvature, which is checked at points drawn
around the mode and otherwise taken at its word. **Cost** one ascent and two factorisations, O(d³). **Fails** by being
loose: −log Z is off by ½ log det(B/H) below; above, a prior's curvature alone knows nothing of the data. **Source**
Böhning, *Multinomial logistic regression algorithm* (1992), for B; the upper side is strong concavity.
"""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from calipers.core.answer import Answer, Grounds, Side, outward
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractContinuousModel
from calipers.models.posterior import Posterior
from calipers.variational.ascent import maximise
from calipers.variational.report import continuous
from calipers.variational.target import Target

_ROUNDING = 2.0**-40
_CHECKED = 4  # points


class CurvatureBounds(AbstractMethod):
    """Gaussian integrals that touch the density at its mode, of the least and the largest curvature it can have.

    **Proves** both sides, `computed`, for models that state their `curvature`.
    """

    proves: ClassVar[Proves] = Proves.BOTH

    def plan(self, model: AbstractContinuousModel, limits: Limits = Limits()) -> Plan:
        """Refuses what is not continuous, and models that state no curvature."""
        continuous(model)
        curvature = getattr(model, "curvature", None)
        if isinstance(model, Posterior) and callable(curvature):
            curvature = curvature(model.data)
        if curvature is None:
            raise Refusal("this model does not state its curvature: matrices A ⪯ −∇² log weight ⪯ B, curvature=(A, B)")
        if not all(np.isfinite(matrix).all() for matrix in curvature):
            raise Refusal("the curvature that this model states is not finite; scale its data")
        return Plan(f"Gaussian bounds from the curvature of {model.dimension} reals.", curvature, limits=limits)

    def answers(self, model: AbstractContinuousModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """Both sides, at the mode."""
        target = Target(model)
        least, largest = (
            _moved(np.asarray(c, np.float64), sign) for c, sign in zip(plan.structure, (-1, 1), strict=True)
        )
        found = maximise(target.gradients, np.zeros((1, model.dimension)))
        point, value, slope = found.points[0], float(found.values[0]), found.gradients[0]
        _check(model, least, largest, point)
        error = _ROUNDING * (1.0 + abs(value) + model.dimension)
        low, high = (_gaussian(value, slope, c) for c in (largest, least))
        yield Answer(
            Side(outward(low, error, -1.0), Grounds.COMPUTED, method=repr(self)),
            Side(outward(high, error, 1.0), Grounds.COMPUTED, method=repr(self)),
            stats={"mode": value},
            plan=plan,
        )


def _moved(curvature: np.ndarray, sign: float) -> np.ndarray:
    """The curvature, outward by more than its factorisation is off by: |L||Lᵀ| is at most d times its diagonal."""
    d = len(curvature)
    return curvature + sign * 4.0 * d * (d + 1) * np.finfo(np.float64).eps * np.diag(np.abs(np.diag(curvature)))


def _gaussian(value: float, slope: np.ndarray, curvature: np.ndarray) -> float:
    """log ∫ exp(value + slope·x − ½ xᵀ curvature x) dx; +∞ when the curvature is not positive definite."""
    try:
        factor = np.linalg.cholesky(curvature)
    except np.linalg.LinAlgError:
        return math.inf
    reach = np.linalg.solve(factor, slope)
    return value + 0.5 * float(reach @ reach) - float(np.log(np.diag(factor) / math.sqrt(2.0 * math.pi)).sum())


def _check(model: AbstractContinuousModel, least: np.ndarray, largest: np.ndarray, point: np.ndarray) -> None:
    """Looks at the curvature at the mode and at points around it.

    **Raises:** `ValueError` where it leaves what the model states, or the largest is not positive definite.
    """
    random = np.random.default_rng(0)
    try:
        factor = np.linalg.inv(np.linalg.cholesky(largest)).T
    except np.linalg.LinAlgError as error:
        raise ValueError("the largest curvature that the model states is not positive definite") from error
    with jax.enable_x64(True):
        hessian = jax.jit(jax.hessian(model.flat_log_weight))
        for scale in np.linspace(0.0, 3.0, _CHECKED):
            seen = -np.asarray(hessian(point + scale * factor @ random.standard_normal(len(point))))
            slack = 1e-8 * float(np.abs(largest).max())
            low, high = np.linalg.eigvalsh(seen - least)[0], np.linalg.eigvalsh(largest - seen)[0]
            if not (low > -slack and high > -slack):
                raise ValueError(
                    f"the curvature leaves what the model states: it is {max(-low, 0.0):.3g} below the least or "
                    f"{max(-high, 0.0):.3g} above the largest near the mode"
                )
