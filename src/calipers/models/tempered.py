"""The power of a measure, w(x)^β: a model at another temperature. β = 1 is the model, β = 0 counts its support."""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising


class Tempered(AbstractDiscreteModel):
    """A discrete model raised to the power `beta`; weight zero stays zero, at β = 0 too.

    **Raises:** `ValueError` when `beta` is negative or not finite.
    """

    model: AbstractDiscreteModel
    beta: float = eqx.field(converter=float)

    def __check_init__(self) -> None:
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta is {self.beta}; it must be finite and not negative")

    @property
    def domains(self) -> np.ndarray:
        """Number of states of each variable, shape (n,)."""
        return self.model.domains

    def log_weight(self, x: Any) -> float:
        """β times the model's log weight of one configuration; −inf where that is −inf."""
        weight = float(self.model.log_weight(x))
        return weight if weight == -math.inf else self.beta * weight

    def factor_graph(self) -> FactorGraph:
        """The model's factor graph at the other temperature."""
        return self.model.factor_graph().tempered(self.beta)


def tempered(model: AbstractDiscreteModel, beta: float) -> AbstractDiscreteModel:
    """`model` raised to the power `beta`, kept in its own class where that has a temperature."""
    if isinstance(model, Ising | FactorGraph):
        return model.tempered(beta)
    if isinstance(model, Tempered):
        return tempered(model.model, beta * model.beta)
    return Tempered(model, beta)


def condition(model: AbstractDiscreteModel, evidence: Mapping[int, int]) -> AbstractDiscreteModel:
    """`model` restricted to configurations that agree with `evidence`, {variable: state}; itself when there is none."""
    return model.factor_graph().condition(evidence) if evidence else model


def in_field(model: AbstractDiscreteModel, h: float) -> AbstractDiscreteModel:
    """A magnet with `h` added to every field. Raises `ValueError` for what is no magnet, unless `h` is 0."""
    if h == 0.0:
        return model
    if not isinstance(model, Ising):
        raise ValueError(f"a field needs a magnet; this is a {type(model).__name__}")
    return Ising(model.edges, model.couplings, model.fields + h, model.beta, model.offset, labels=model.labels)
