"""Models of other libraries as densities over reals: NumPyro functions, and Stan programs through BridgeStan.

Both map constrained parameters to reals themselves, so that `transform` is theirs. NumPyro's densities are normalised
unless the model says otherwise (`factor`, improper priors). A Stan program is a density up to what it leaves out: a
half-normal written as `normal` with `<lower=0>` lacks its factor 2, and `target +=` with an `_lupdf` drops constants.
**Cost** of a Stan density: one call to compiled C++ on the host, one draw at a time.
"""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from calipers.core.model import AbstractContinuousModel
from calipers.models.foreign import extra


class NumPyroModel(AbstractContinuousModel):
    """The joint density of a NumPyro model with its data; made by `from_numpyro`."""

    model: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    example: Any
    supports: Any = eqx.field(static=True)

    @property
    def dimension(self) -> int:
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.example))

    def log_weight(self, x: Any) -> Any:
        utilities = extra("numpyro.infer.util", "numpyro")
        return utilities.log_density(self.model, self.arguments, self.keywords, x)[0]

    def transform(self, u: Any) -> tuple[Any, Any]:
        unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(np.shape(leaf), u.dtype), self.example))[1]
        flat, x, log_det = unravel(u), {}, jnp.zeros((), u.dtype)
        for name, bijection in self._bijections():
            x[name] = bijection(flat[name])
            log_det = log_det + jnp.sum(bijection.log_abs_det_jacobian(flat[name], x[name]))
        return x, log_det

    def unconstrain(self, x: Any) -> Any:
        return ravel_pytree({name: bijection.inv(jnp.asarray(x[name])) for name, bijection in self._bijections()})[0]

    def _bijections(self) -> list[tuple[str, Any]]:
        transforms = extra("numpyro.distributions", "numpyro").biject_to
        return [(name, transforms(support)) for name, support in self.supports]


def from_numpyro(model: Callable[..., Any], *arguments: Any, **keywords: Any) -> NumPyroModel:
    """A NumPyro model, conditioned on what its arguments observe; needs the extra `numpyro`.

    **Arguments:** `model`, `arguments` and `keywords` as NumPyro's samplers take them.

    **Raises:** `ValueError` when it has discrete latent sites, or none; `ImportError` without the extra.
    """
    handlers = extra("numpyro.handlers", "numpyro")
    with jax.enable_x64(True):
        trace = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(*arguments, **keywords)
        latent = {n: s for n, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}
        if discrete := [n for n, s in latent.items() if s["fn"].is_discrete]:
            raise ValueError(f"site {discrete[0]!r} is discrete; sum it out, and give its marginal density instead")
        if not latent:
            raise ValueError("this NumPyro model has no latent sites")
        supports = tuple((name, site["fn"].support) for name, site in sorted(latent.items()))
        transforms = extra("numpyro.distributions", "numpyro").biject_to
        example = {n: np.asarray(transforms(support).inv(latent[n]["value"])) for n, support in supports}
    return NumPyroModel(model, arguments, keywords, example, supports)


class StanModel(AbstractContinuousModel):
    """A compiled Stan program with its data; made by `from_stan`. Parameters are one flat vector, in Stan's order."""

    program: Any = eqx.field(static=True)

    @property
    def dimension(self) -> int:
        return int(self.program.param_unc_num())

    def log_weight(self, x: Any) -> Any:
        """The density of x, by way of the reals."""
        u = self.unconstrain(x)
        return self.flat_log_weight(u) - self.transform(u)[1]

    def flat_log_weight(self, u: Any) -> Any:
        return _density(self.program, u)

    def transform(self, u: Any) -> tuple[Any, Any]:
        count = int(self.program.param_num())
        x = self._call(lambda v: self.program.param_constrain(v), u, count)
        log_det = self._call(lambda v: np.array([self._log_det(v)]), u, 1)[0]
        return x, log_det

    def unconstrain(self, x: Any) -> Any:
        return self._call(lambda v: self.program.param_unconstrain(v), x, self.dimension)

    def _log_det(self, u: np.ndarray) -> float:
        densities = [self.program.log_density(u, propto=False, jacobian=j) for j in (True, False)]
        return float(densities[0] - densities[1])

    def _call(self, function: Callable[[np.ndarray], np.ndarray], u: Any, count: int) -> Any:
        shape = jax.ShapeDtypeStruct((count,), u.dtype)
        host = lambda v: np.asarray(function(np.ascontiguousarray(v, np.float64)), v.dtype)  # noqa: E731
        return jax.pure_callback(host, shape, jnp.asarray(u), vmap_method="sequential")


@jax.custom_vjp
def _with_slope(u: Any, value: Any, slope: Any) -> Any:
    return value


def _forward(u: Any, value: Any, slope: Any) -> tuple[Any, Any]:
    return value, slope


def _backward(slope: Any, cotangent: Any) -> tuple[Any, None, None]:
    return cotangent * slope, None, None


_with_slope.defvjp(_forward, _backward)


def _density(program: Any, u: Any) -> Any:
    """Stan's log density with its own gradient; −∞ where Stan rejects."""
    shapes = (jax.ShapeDtypeStruct((), u.dtype), jax.ShapeDtypeStruct(u.shape, u.dtype))

    def host(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            value, slope = program.log_density_gradient(
                np.ascontiguousarray(v, np.float64), propto=False, jacobian=True
            )
        except RuntimeError:  # how BridgeStan reports reject(), or a scale that has underflown
            return np.asarray(-np.inf, v.dtype), np.zeros_like(v)
        return np.asarray(value, v.dtype), np.asarray(slope, v.dtype)

    value, slope = jax.pure_callback(host, shapes, jax.lax.stop_gradient(u), vmap_method="sequential")
    return _with_slope(u, value, slope)


def from_stan(program: Any) -> StanModel:
    """A Stan program as `bridgestan.StanModel` compiled it, with its data; needs the extra `stan`.

    Warns: log Z is that of the density as written, and Stan programs often leave out constants.
    """
    for name in ("param_unc_num", "log_density_gradient", "param_constrain", "param_unconstrain"):
        if not hasattr(program, name):
            raise TypeError(f"from_stan takes a bridgestan.StanModel, but {type(program).__name__} has no {name}")
    warnings.warn(
        "log Z is that of the Stan program as written: a half-normal prior written as normal with <lower=0> lacks its "
        "factor 2 (log 2 = 0.693 nats each), and _lupdf statements drop constants",
        stacklevel=2,
    )
    return StanModel(program)
