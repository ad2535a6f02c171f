"""The models between infinite temperature and a given one, and what moves configurations along them.

    Z(λ) = Σ_x e^{λ w(x)},   w = log weight at λ = 1 (−βE of a magnet),   Z(0) = the number of configurations
    d log Z / dλ = ⟨w⟩_λ,    d² log Z / dλ² = Var_λ w ≥ 0

Any Markov kernel of single models will do: at each λ it is begun anew from the configurations that there are.
**Proves** nothing by itself. **Cost** a start of the kernel at each λ, then its sweeps. **Fails** by refusing models
with zeros, where Z(0) is not known, and kernels whose start is a simulation of its own.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.models.ising import Ising
from calipers.models.reduction import Reduced, as_reduced
from calipers.models.tempered import tempered
from calipers.sampling.kernel import AbstractKernel, Measured, first_states
from calipers.sampling.kernel_choice import suitable_kernel
from calipers.sampling.measure import inverse_temperature, meter
from calipers.sampling.tempering import ParallelTempering


class TemperedPath(NamedTuple):
    """A model at all temperatures above its own, and a kernel for each.

    **Fields:** `model`, without evidence or zeros; `kernel`; `log_base`, log Z at λ = 0 and what reduction put aside;
    `error`, rounding of that and of the sums of tables; `measure`, energies of states.
    """

    model: AbstractDiscreteModel
    kernel: AbstractKernel
    log_base: float
    error: float
    measure: Callable[[np.ndarray], Measured]

    @property
    def n(self) -> int:
        """Number of variables."""
        return self.model.n

    def draw(self, random: np.random.Generator, chains: int) -> np.ndarray:
        """Independent configurations at λ = 0, states (chains, n)."""
        return first_states(np.asarray(self.model.domains), random, chains, None)

    def log_weights(self, states: np.ndarray) -> np.ndarray:
        """w of states (chains, n)."""
        return -inverse_temperature(self.model) * self.measure(states).energy

    def move(self, states: np.ndarray, lam: float, sweeps: int, random: np.random.Generator) -> np.ndarray:
        """States after so many sweeps at λ."""
        if lam == 0.0:
            return self.draw(random, len(states)) if sweeps else states
        seed, model = int(random.integers(2**62)), tempered(self.model, lam)
        begun = self.kernel.init(model, seed=seed, chains=len(states), start=np.asarray(states, np.int32))
        return self.kernel.states(self.kernel.step(begun, sweeps)[0])

    def anneal(
        self, schedule: np.ndarray, random: np.random.Generator, chains: int, states: np.ndarray | None, energies: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `annealed.anneal`, a sweep a step."""
        x = self.draw(random, chains) if states is None else states
        logs, record = np.zeros(chains), np.zeros((len(schedule) - 1 if energies else 0, chains))
        for t in range(len(schedule) - 1):
            w = self.log_weights(x)
            if energies:
                record[t] = w
            logs += (schedule[t + 1] - schedule[t]) * w
            if t + 2 < len(schedule):  # the last sweep would change no weight
                x = self.move(x, float(schedule[t + 1]), 1, random)
        return logs, record


def tempered_path(model: AbstractDiscreteModel | Reduced, kernel: AbstractKernel | None = None) -> TemperedPath:
    """The path to a model.

    **Arguments:** `model`; `kernel`, None for what suits it: clusters where no bond is frustrated, else heat bath.

    **Raises:** `Refusal` when the model has zeros, or the kernel cannot begin from given configurations.
    """
    if isinstance(kernel, ParallelTempering):
        raise Refusal("ParallelTempering() places its own ladder when it starts; give a kernel of one temperature")
    if isinstance(model, Ising):
        target: AbstractDiscreteModel = model
        constant, error = 0.0, 0.0
        size = model.beta * float(np.abs(model.couplings).sum() + np.abs(model.fields).sum() + abs(model.offset))
    else:
        reduced = as_reduced(model)
        target, constant, error = reduced.model, reduced.log_constant, reduced.error
        tables = reduced.model.log_tables()
        if constant == -math.inf or not all(np.isfinite(t).all() for t in tables):
            raise Refusal("the model has zeros: at infinite temperature its configurations would have to be counted")
        size = math.fsum(float(np.abs(t).max(initial=0.0)) for t in tables) + abs(constant)
        target = _magnet_if_it_is_one(target)
    states = [math.log(k) for k in np.asarray(target.domains).tolist()]
    log_base = math.fsum([constant, *states])
    error += 2.0**-50 * (size + log_base + len(states))
    chosen = suitable_kernel(target) if kernel is None else kernel
    return TemperedPath(target, chosen, log_base, error, meter(target))


def _magnet_if_it_is_one(graph: AbstractDiscreteModel) -> AbstractDiscreteModel:
    try:
        return Ising.from_factor_graph(graph.factor_graph())
    except ValueError:
        return graph
