"""What a model is: a positive measure with a log weight.

Models know nothing of methods. A discrete model is finite, and can be spelled out as a factor graph, the form that
every engine and every bound reads. A continuous model is a density over named parameters, and can be seen as one over
a flat vector of unconstrained reals, the form that every fit reads.
"""

import abc
from typing import TYPE_CHECKING, Any, NoReturn

import equinox as eqx
import numpy as np

from calipers.core.method import Refusal

if TYPE_CHECKING:  # the type lives one floor up; nothing is imported from there at run time
    from calipers.models.factor_graph import FactorGraph


class AbstractModel(eqx.Module):
    """A positive measure: `exp(log_weight(x))`, not normalised. Its total mass is Z."""

    @abc.abstractmethod
    def log_weight(self, x: Any) -> Any:
        """The log weight of one configuration, in nats (−βE for an energy); −inf where the weight is zero."""


class AbstractDiscreteModel(AbstractModel):
    """A model over `n` variables with finite domains; a configuration is an integer vector of states, shape (n,)."""

    @property
    @abc.abstractmethod
    def domains(self) -> np.ndarray:
        """Number of states of each variable, shape (n,), integers ≥ 1."""

    @abc.abstractmethod
    def factor_graph(self) -> "FactorGraph":
        """The same measure as a factor graph with the same variables, in the same order."""

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.domains)


class AbstractContinuousModel(AbstractModel):
    """A density over parameters x, a pytree of arrays, and the same mass over an unconstrained vector u, shape (d,).

    Everything here is plain JAX: it may be traced, differentiated and batched, in the precision of its arguments. Ask
    for float64 by `with jax.enable_x64(True):` around the call; the methods do.
    """

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """d, the number of unconstrained reals."""

    @abc.abstractmethod
    def transform(self, u: Any) -> tuple[Any, Any]:
        """x(u), and log |det dx/du|, in nats."""

    @abc.abstractmethod
    def unconstrain(self, x: Any) -> Any:
        """The u, shape (d,), with x(u) = x."""

    def factor_graph(self) -> NoReturn:
        """There is none: whatever sums over states asks for it, and so refuses a density over reals.

        **Raises:** `Refusal`, always.
        """
        raise Refusal(
            f"this method sums over discrete states, and {type(self).__name__} is a density over reals; Auto(), "
            "GaussianVI() or HamiltonianAnnealing() take it"
        )

    def constrain(self, u: Any) -> Any:
        """The parameters x(u)."""
        return self.transform(u)[0]

    def flat_log_weight(self, u: Any) -> Any:
        """log weight of x(u) + log |det dx/du|: its exponential, integrated over u, is Z."""
        x, log_det = self.transform(u)
        return self.log_weight(x) + log_det
