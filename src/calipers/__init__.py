"""Calipers: log Z from both sides, for anything with an energy.

    import calipers as cal
    answer = cal.log_z(cal.Ising.square((16, 16), beta=0.44))
    answer.lower, answer.upper

Names are looked up when they are first asked for: importing `calipers` imports no jax.
"""

import functools
import importlib
from os import PathLike
from typing import TYPE_CHECKING, Any

from calipers.catalogue import METHODS

if TYPE_CHECKING:
    from calipers.core.answer import Answer
    from calipers.core.method import AbstractMethod
    from calipers.core.model import AbstractModel
    from calipers.io.certificate import Certificate

__version__ = "0.1.0"

_HOMES = {
    "calipers.core.answer": ("Answer", "Belief", "Grounds", "Misleading", "Result", "Side"),
    "calipers.core.iterate": ("iterate",),
    "calipers.core.method": ("AbstractMethod", "Limits", "Plan", "Proves", "Refusal"),
    "calipers.core.model": ("AbstractContinuousModel", "AbstractDiscreteModel", "AbstractModel"),
    "calipers.models.bijector": ("CorrelationCholesky", "Interval", "Ordered", "Positive", "Simplex"),
    "calipers.models.energy": ("EnergyModel",),
    "calipers.models.exponential_family": ("ExponentialFamily",),
    "calipers.models.factor_graph": ("FactorGraph",),
    "calipers.models.ising": ("Ising",),
    "calipers.models.foreign_posteriors": ("from_numpyro", "from_stan"),
    "calipers.models.hierarchical": ("hierarchical_normal", "normal_mixture"),
    "calipers.models.posterior": ("Posterior",),
    "calipers.variational.prior_check": ("check_prior",),
    "calipers.models.streamed": ("StreamedPosterior",),
    "calipers.models.conjugate_model": ("ConjugateModel",),
    "calipers.models.conjugate_families": ("conjugate_regression", "gaussian_mixture"),
    "calipers.models.regression": ("linear_gaussian", "logistic_regression"),
    "calipers.models.tempered": ("Tempered",),
    "calipers.io": ("load", "save"),
    "calipers.io.certificate": ("Certificate",),
    "calipers.io.errors": ("InputError", "SpecError"),
    "calipers.io.npz": ("read_npz", "write_npz"),
    "calipers.io.rows": ("Rows",),
    "calipers.io.spec": ("from_spec",),
    "calipers.io.uai": ("read_uai",),
    "calipers.io.uai_writer": ("write_uai",),
    "calipers.exact.covariance": ("covariance",),
    "calipers.exact.cumulants": ("cumulants",),
    "calipers.exact.density_of_states": ("density_of_states", "torus_density_of_states"),
    "calipers.exact.differentiable": ("log_partition", "moments"),
    "calipers.exact.marginal": ("marginal",),
    "calipers.exact.most_probable": ("MostProbable", "most_probable"),
    "calipers.exact.sampling": ("Samples", "sample"),
    "calipers.exact.thermodynamics": ("energy", "entropy", "heat_capacity", "susceptibility"),
    "calipers.exact.infinite_strip": ("infinite_strip",),
    "calipers.sampling.block_gibbs": ("BlockGibbs",),
    "calipers.sampling.chain": ("Chain", "run_chain"),
    "calipers.sampling.chain_result": ("ChainResult",),
    "calipers.sampling.cluster": ("SwendsenWang", "Wolff"),
    "calipers.sampling.diagnostics": ("autocorrelation_time", "effective_size", "split_r_hat"),
    "calipers.sampling.gibbs": ("Gibbs",),
    "calipers.sampling.local": ("HeatBath", "Metropolis"),
    "calipers.sampling.mixing": ("FastMixing", "fast_mixing"),
    "calipers.sampling.observables": ("correlation_length", "overlap", "structure_factor"),
    "calipers.sampling.sweep": ("sweep",),
    "calipers.sampling.sweep_result": ("Sweep",),
    "calipers.sampling.multispin": ("Multispin",),
    "calipers.sampling.perfect": ("PerfectSampling",),
    "calipers.sampling.replicas": ("MultispinReplicas",),
    "calipers.sampling.sharded": ("ShardedMultispin",),
    "calipers.sampling.tempering": ("ParallelTempering",),
    "calipers.variational.self_consistency": ("magnetization_curves", "mean_field_equation"),
    "calipers.bounds.annealed": ("annealed_upper",),
    "calipers.bounds.integration": ("integrated_sides",),
    "calipers.bounds.validation": ("Validation", "validate"),
    "calipers.bounds.marginal_bounds": ("MarginalBounds", "marginal_bounds"),
    "calipers.bounds.pair_bounds": ("PairBounds", "pair_bounds"),
}
_WHERE = METHODS | {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = ("plots", "testing", "zoo")  # modules, not names in one

__all__ = ["__version__", "log_prob", "log_z", *_WHERE, *_ROOMS]


def log_z(
    model: "AbstractModel",
    method: "AbstractMethod | None" = None,
    *,
    resume: "Certificate | str | PathLike[str] | None" = None,
    **limits: Any,
) -> "Answer":
    """Brackets log Z of `model`, by `Auto()` unless told otherwise.

    **Arguments:** `model`; `method`; `resume`, a certificate of the same model (or its file) whose claims to start
    from, taken as `computed`: what was found before is kept unless something better is; `limits`, as in
    `calipers.core.iterate.log_z`: `gap`, `time_limit`, `delta`, `memory`, `beliefs`, `key`, `check`.

    **Returns:** the last and best `Answer`; its `result` says why the run stopped.

    **Raises:** `Refusal` when the method will not take the model; `Misleading`, with the answer, when an estimate
    failed its checks (unless `check=False`); `ValueError` when `resume` is about another model.
    """
    from calipers.core import iterate
    from calipers.io.certificate import Certificate
    from calipers.io.certificate import resume as read_sides

    start = None if resume is None else read_sides(resume, model)
    answer = iterate.log_z(model, _auto() if method is None else method, start=start, **limits)
    return answer.but(certify=lambda: Certificate.from_answer(answer, model))


@functools.cache
def _auto() -> "AbstractMethod":
    from calipers.auto import Auto

    return Auto()


def log_prob(model: "AbstractModel", x: Any, method: "AbstractMethod | None" = None, **limits: Any) -> "Answer":
    """Brackets log p(x), the log probability of one configuration, by `Auto()` unless told otherwise."""
    from calipers.core import iterate

    return iterate.log_prob(model, x, _auto() if method is None else method, **limits)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"calipers.{name}")
    else:
        raise AttributeError(f"module 'calipers' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
