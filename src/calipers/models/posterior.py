"""Bayesian models: a prior, a likelihood and data; log Z is the log evidence log p(data).

    p(z | x) = p(z) p(x | z) / p(x),      log Z = log p(x) = log ∫ p(z) p(x | z) dz

The prior has to be normalised, or log Z is off by the log of its total: `sigma ~ half-normal` written without its
factor 2 moves log Z by log 2 = 0.693 nats. `check_prior` (in `calipers.variational.prior_check`) looks. **Source** any
textbook; for simulated data as a test of a computation, Talts et al., *Simulation-based calibration* (2018).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from calipers.core.model import AbstractContinuousModel
from calipers.models.space import Space

Matrices = tuple[Any, Any]
Curvature = Matrices | Callable[[Any], Matrices]


class Posterior(AbstractContinuousModel):
    """A posterior, known up to its evidence.

    **Arguments:** `log_prior(z)`, normalised, and `log_likelihood(z, data)`, scalars in nats, written in JAX, z a
    pytree of parameters; `data`, any pytree, handed on as it is. Known beside them, or None:

    * `prior_sample(key)` → z, an exact draw from the prior; it also says what z looks like;
    * `example`, parameters of the right structure and shapes; needed when there is no `prior_sample`;
    * `constraints`, bijectors of the parameters that are not free reals, as in `Space`;
    * `simulate(key, z)` → data, an exact draw from the likelihood;
    * `posterior_sample(key, data)` → z, an exact draw from the posterior (conjugate models);
    * `evidence(data)`, the exact log evidence (conjugate models). It is taken at its word;
    * `curvature(data)`, or what it returns: matrices (A, B), d × d, with A ⪯ −∇² log weight(u) ⪯ B at every u, for
      `CurvatureBounds`. Matrices are of the data given here: `with_data` drops them, and keeps a function.

    The functions are compared by identity: `with_data` keeps them, and nothing is compiled again.
    """

    log_prior: Callable[[Any], Any]
    log_likelihood: Callable[[Any, Any], Any]
    data: Any
    space: Space
    prior_sample: Callable[[Any], Any] | None
    simulate: Callable[[Any, Any], Any] | None
    posterior_sample: Callable[[Any, Any], Any] | None
    evidence: Callable[[Any], Any] | None
    curvature: Curvature | None

    def __init__(
        self,
        log_prior: Callable[[Any], Any],
        log_likelihood: Callable[[Any, Any], Any],
        data: Any = None,
        *,
        example: Any = None,
        constraints: Any = None,
        prior_sample: Callable[[Any], Any] | None = None,
        simulate: Callable[[Any, Any], Any] | None = None,
        posterior_sample: Callable[[Any, Any], Any] | None = None,
        evidence: Callable[[Any], Any] | None = None,
        curvature: Curvature | None = None,
    ):
        if example is None:
            if prior_sample is None:
                raise ValueError("a posterior needs prior_sample or example, to know what its parameters look like")
            with jax.enable_x64(True):
                example = jax.eval_shape(prior_sample, jax.random.key(0))
        self.log_prior, self.log_likelihood, self.data = log_prior, log_likelihood, data
        self.space = Space(example, constraints)
        self.prior_sample, self.simulate = prior_sample, simulate
        self.posterior_sample, self.evidence, self.curvature = posterior_sample, evidence, curvature

    @property
    def dimension(self) -> int:
        return self.space.dimension

    def log_weight(self, x: Any) -> Any:
        return self.log_prior(x) + self.log_likelihood(x, self.data)

    def transform(self, u: Any) -> tuple[Any, Any]:
        return self.space.transform(u)

    def unconstrain(self, x: Any) -> Any:
        return self.space.unconstrain(x)

    def flat_log_prior(self, u: Any) -> Any:
        """The prior's log density of u: log p(z(u)) + log |det dz/du|."""
        z, log_det = self.space.transform(u)
        return self.log_prior(z) + log_det

    def flat_log_likelihood(self, u: Any) -> Any:
        """log p(data | z(u))."""
        return self.log_likelihood(self.space.transform(u)[0], self.data)

    def flat_prior_sample(self, key: Any) -> Any:
        """One exact draw from the prior, as u; traceable.

        **Raises:** `ValueError` without a `prior_sample`.
        """
        if self.prior_sample is None:
            raise ValueError("this posterior cannot draw from its prior; give it prior_sample=")
        return self.unconstrain(jax.tree.map(jnp.asarray, self.prior_sample(key)))

    def with_data(self, data: Any) -> "Posterior":
        """The same prior and likelihood, given other data; a curvature stated as matrices is not theirs, and goes."""
        kept = self.curvature if callable(self.curvature) else None
        return eqx.tree_at(lambda m: (m.data, m.curvature), self, (data, kept), is_leaf=lambda leaf: leaf is None)

    def __repr__(self) -> str:
        return f"Posterior of {self.dimension} reals: {', '.join(self.space.names)}"
