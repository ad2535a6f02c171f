"""What a model is: a positive measure with a log weight.

Models know nothing of methods. A discrete model is finite, and can be spelled out as a factor graph, the form that
every engine and every bound reads.
"""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

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
