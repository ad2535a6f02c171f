"""Every configuration of a small model with its log weight, by plain enumeration."""

from typing import NamedTuple

import numpy as np


class Listing(NamedTuple):
    """The configurations of positive weight, shape (N, n), their log weights and probabilities, shape (N,)."""

    states: np.ndarray
    log_weights: np.ndarray
    p: np.ndarray

    def covariance(self, values: np.ndarray) -> np.ndarray:
        """Of the columns of `values`, shape (N, k)."""
        centred = values - self.p @ values
        return (centred.T * self.p) @ centred


def listed(model) -> Listing:
    """Every configuration of a model, one by one."""
    graph = model.factor_graph()
    states = np.array(list(np.ndindex(*graph.sizes)), np.int64).reshape(int(np.prod(graph.sizes)), graph.n)
    weights = np.array([graph.log_weight(x) for x in states])
    states, weights = states[weights > -np.inf], weights[weights > -np.inf]
    p = np.exp(weights - np.logaddexp.reduce(weights)) if len(weights) else weights
    return Listing(states, weights, p)
