"""The evidence of conjugate models, as a formula that the model brings along.

    log Z = evidence(data)      linear regression with known noise: log N(y; 0, s² X Xᵀ + σ² I)

**Proves** log Z, exact up to rounding, if the formula is right: it is taken at its word. The rounding estimate is that
of a Cholesky factorisation of moderate condition. **Cost** the formula's. Refuses every other model.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import jax

from calipers.core.answer import Answer, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.models.posterior import Posterior

_ROUNDING = 2.0**-36  # relative


class Conjugate(AbstractMethod):
    """log Z of a posterior that knows its evidence. **Proves** log Z itself."""

    proves: ClassVar[Proves] = Proves.EQUAL

    def plan(self, model: Any, limits: Limits = Limits()) -> Plan:
        """Refuses models without a formula."""
        if not isinstance(model, Posterior) or model.evidence is None:
            raise Refusal(
                f"only a posterior that was given its evidence (a conjugate model) has a formula, not this "
                f"{type(model).__name__}"
            )
        return Plan("The evidence by the formula that came with the model.", limits=limits)

    def answers(self, model: Posterior, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One answer."""
        assert model.evidence is not None
        with jax.enable_x64(True):
            value = float(model.evidence(model.data))
        sides = exact_sides(value, _ROUNDING * max(abs(value), 1.0), repr(self))
        yield Answer(*sides, value=value, result=Result.EXACT, plan=plan)
