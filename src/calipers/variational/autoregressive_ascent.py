"""The fit of an autoregressive network, in rounds: steps, the average of late weights, and its state in arrays.

Step t draws from a key folded with t and takes tables to the power β_t = min(1, (t + 1)/annealing), so that a run that
goes on from its arrays takes the same steps, bit for bit. Steps are natural ones (`natural_gradient.py`), or Adam's
with leave-one-out baselines. What is drawn from in the end is the average of weights over the last half of the steps,
about: averages begin anew at every power of two.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from calipers.variational.autoregressive import Network, Weights, first_weights
from calipers.variational.natural_gradient import natural_step, plain_gradient

DAMPING, FRICTION = 0.1, 0.9
RATES = {True: 0.3, False: 0.003}  # natural steps, Adam's


class Ascent:
    """A fit under way. **Arguments:** `network`; `seed`, a typed key; the rest as the method has them."""

    def __init__(
        self, network: Network, seed: Any, *, hidden: int, draws: int, natural: bool, rate: float | None, annealing: int
    ):
        self.network, self.key, self.draws, self.natural = network, seed, draws, natural
        self.rate, self.annealing = RATES[natural] if rate is None else rate, annealing
        self.steps, self.averaged = 0, 0
        self.weights = first_weights(network, hidden, jax.random.fold_in(seed, 0))
        self.mean = self.weights
        self.adam = optax.adam(self.rate)
        nothing = jax.tree.map(jnp.zeros_like, self.weights)
        self.state: Any = nothing if natural else self.adam.init(self.weights)

    def beta(self) -> float:
        """The power to which the tables are taken now."""
        return min(1.0, (self.steps + 1) / self.annealing) if self.annealing else 1.0

    def advance(self) -> np.ndarray:
        """One step; the log weights of its draws, which are from before the step."""
        key, beta = jax.random.fold_in(self.key, self.steps + 1), self.beta()
        if self.natural:
            self.state, logs = natural_step(
                self.network, self.weights, self.state, key, beta, DAMPING, FRICTION, self.draws
            )
            rise = jax.tree.map(lambda change: self.rate * change, self.state)
        else:
            gradient, logs = plain_gradient(self.network, self.weights, key, beta, self.draws)
            rise, self.state = self.adam.update(jax.tree.map(jnp.negative, gradient), self.state)
        self.weights = jax.tree.map(jnp.add, self.weights, rise)
        self.steps += 1
        self._average()
        return np.asarray(logs, np.float64)

    def _average(self) -> None:
        if self.steps & (self.steps - 1) == 0 or self.steps <= self.annealing:
            self.averaged, self.mean = 1, self.weights
            return
        self.averaged += 1
        share = 1.0 / self.averaged
        self.mean = jax.tree.map(lambda m, w: m + share * (w - m), self.mean, self.weights)

    def result(self) -> Weights:
        """The averaged weights, in float64."""
        return {name: jnp.asarray(w, jnp.float64) for name, w in self.mean.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that a run needs to go on, bit for bit."""
        leaves = jax.tree.leaves((self.weights, self.mean, self.state))
        return {"counts": np.array([self.steps, self.averaged])} | {
            f"leaf {i}": np.asarray(a) for i, a in enumerate(leaves)
        }

    def restore(self, held: dict[str, np.ndarray]) -> None:
        """Goes back to what `arrays` told."""
        leaves, structure = jax.tree.flatten((self.weights, self.mean, self.state))
        self.steps, self.averaged = held["counts"].tolist()
        again = [jnp.asarray(held[f"leaf {i}"], a.dtype) for i, a in enumerate(leaves)]
        self.weights, self.mean, self.state = jax.tree.unflatten(structure, again)
