"""Any density over named parameters, up to a constant: its log Z is what the methods estimate and bound.

    log Z = log ∫ e^{log_density(x)} dx = log ∫ e^{log_density(x(u))} |det dx/du| du

**Cost** that of the function given. **Fails** when the density is not integrable: its Z is +∞, which no sample shows.
"""

from collections.abc import Callable
from typing import Any

from calipers.core.model import AbstractContinuousModel
from calipers.models.space import Space


class EnergyModel(AbstractContinuousModel):
    """An unnormalised density over a pytree.

    **Arguments:** `log_density`, from parameters to a scalar in nats (−βE for an energy), written in JAX; `example`,
    parameters of the right structure and shapes; `constraints`, bijectors for the parameters that are not free reals,
    as in `Space`: `{"sigma": Positive()}`; `curvature`, if known, matrices (A, B) with A ⪯ −∇² log weight(u) ⪯ B
    at every u, for `CurvatureBounds`.

    Arrays that `log_density` needs are best handed to it inside an `eqx.Module` with `__call__`: another model with
    the same function and other arrays is then not compiled again.
    """

    log_density: Callable[[Any], Any]
    space: Space
    curvature: tuple[Any, Any] | None

    def __init__(
        self,
        log_density: Callable[[Any], Any],
        example: Any,
        constraints: Any = None,
        curvature: tuple[Any, Any] | None = None,
    ):
        self.log_density, self.curvature = log_density, curvature
        self.space = Space(example, constraints)

    @property
    def dimension(self) -> int:
        return self.space.dimension

    def log_weight(self, x: Any) -> Any:
        return self.log_density(x)

    def transform(self, u: Any) -> tuple[Any, Any]:
        return self.space.transform(u)

    def unconstrain(self, x: Any) -> Any:
        return self.space.unconstrain(x)

    def __repr__(self) -> str:
        return f"EnergyModel of {self.dimension} reals: {', '.join(self.space.names)}"
