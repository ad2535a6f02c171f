"""Posteriors and energies whose log Z is known, each written out with normalised priors: what `evidence.py` runs.

Closed forms, quadratures of two grids, importance sampling where an error is given. Those that need data read it from
a folder (`CALIPERS_SHARED`, else ../shared/data, see the tests) and are left out where it is absent.
"""

import csv
import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import calipers as cal

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("CALIPERS_SHARED", ROOT.parent / "shared" / "data")) / "posteriors"


class KnownTarget(NamedTuple):
    """A model, its log Z in nats, what that is known to (standard error), and the error that an answer may have."""

    name: str
    make: Callable[[], Any]
    log_z: float
    known_to: float = 0.0
    wanted: float = 0.02


def _half_cauchy(x: Any, scale: float) -> Any:
    return jnp.log(2.0 / (math.pi * scale)) - jnp.log1p((x / scale) ** 2)


def _half_normal(x: Any, scale: float) -> Any:
    return math.log(2.0) + norm.logpdf(x, 0.0, scale)


def _normals(key: Any, **scales: tuple[Any, float]) -> dict[str, Any]:
    keys = jax.random.split(key, len(scales))
    return {n: s * jax.random.normal(k, shape) for k, (n, (shape, s)) in zip(keys, scales.items(), strict=True)}


# --- conjugate ------------------------------------------------------------------------------------------------------


def blr10() -> cal.Posterior:
    data = np.load(DATA / "blr10.npz")

    def log_prior(z: Any) -> Any:
        return norm.logpdf(z["w"]).sum()

    def log_likelihood(z: Any, data: Any) -> Any:
        return norm.logpdf(data[1], data[0] @ z["w"], 0.5).sum()

    def prior_sample(key: Any) -> Any:
        return _normals(key, w=((10,), 1.0))

    def posterior_sample(key: Any, data: Any) -> Any:
        factor = jnp.linalg.cholesky(jnp.eye(10) + 4.0 * data[0].T @ data[0])
        mean = jax.scipy.linalg.cho_solve((factor, True), 4.0 * data[0].T @ data[1])
        return {"w": mean + jax.scipy.linalg.solve_triangular(factor.T, jax.random.normal(key, (10,)))}

    return cal.Posterior(
        log_prior,
        log_likelihood,
        (data["X"], data["y"]),
        prior_sample=prior_sample,
        posterior_sample=posterior_sample,
    )


def one_normal() -> cal.Posterior:
    return cal.Posterior(
        lambda z: norm.logpdf(z),
        lambda z, y: norm.logpdf(y, z, 0.5),
        np.float64(10.0),
        prior_sample=lambda key: jax.random.normal(key),
    )


def brownian() -> cal.Posterior:
    y = np.load(DATA / "brownian_obs.npy")
    return cal.Posterior(
        lambda z: _walk(z, 0.1),
        lambda z, y: _seen(z, y, 0.15),
        y,
        prior_sample=lambda key: jnp.cumsum(0.1 * jax.random.normal(key, (30,))),
    )


def _walk(path: Any, scale: Any) -> Any:
    return norm.logpdf(jnp.diff(path, prepend=0.0), 0.0, scale).sum()


def _seen(path: Any, y: Any, scale: Any) -> Any:
    seen = jnp.isfinite(y)
    return jnp.where(seen, norm.logpdf(jnp.where(seen, y, 0.0), path, scale), 0.0).sum()


def brownian_unknown() -> cal.Posterior:
    def log_prior(z: Any) -> Any:
        logs = jnp.log(jnp.stack([z["innovation"], z["observation"]]))
        return (norm.logpdf(logs, 0.0, 2.0) - logs).sum() + _walk(z["path"], z["innovation"])

    def prior_sample(key: Any) -> Any:
        z = _normals(key, innovation=((), 2.0), observation=((), 2.0), path=((30,), 1.0))
        scale = jnp.exp(z["innovation"])
        return {
            "innovation": scale, "observation": jnp.exp(z["observation"]), "path": jnp.cumsum(scale * z["path"])
        }  # fmt: skip

    return cal.Posterior(
        log_prior,
        lambda z, y: _seen(z["path"], y, z["observation"]),
        np.load(DATA / "brownian_obs.npy"),
        prior_sample=prior_sample,
        constraints={"innovation": cal.Positive(), "observation": cal.Positive()},
    )


# --- hierarchical ---------------------------------------------------------------------------------------------------

SCHOOLS = (
    np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
    np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
)


def eight_schools() -> cal.Posterior:
    def log_prior(z: Any) -> Any:
        return norm.logpdf(z["mu"], 0.0, 5.0) + _half_cauchy(z["tau"], 5.0) + norm.logpdf(z["theta"]).sum()

    def prior_sample(key: Any) -> Any:
        a, b = jax.random.split(key)
        return _normals(a, mu=((), 5.0), theta=((8,), 1.0)) | {"tau": jnp.abs(5.0 * jax.random.cauchy(b))}

    return cal.Posterior(
        log_prior, _schools, SCHOOLS, prior_sample=prior_sample, constraints={"tau": cal.Positive()}
    )  # fmt: skip


def _schools(z: Any, data: Any) -> Any:
    return norm.logpdf(data[0], z["mu"] + z["tau"] * z["theta"], data[1]).sum()


def eight_schools_gym() -> cal.Posterior:
    def log_prior(z: Any) -> Any:
        return norm.logpdf(z["mu"], 0.0, 10.0) + norm.logpdf(z["log_tau"], 5.0, 1.0) + norm.logpdf(z["theta"]).sum()

    def prior_sample(key: Any) -> Any:
        z = _normals(key, mu=((), 10.0), log_tau=((), 1.0), theta=((8,), 1.0))
        return z | {"log_tau": 5.0 + z["log_tau"]}

    return cal.Posterior(
        log_prior,
        lambda z, data: _schools({"tau": jnp.exp(z["log_tau"]), **z}, data),
        SCHOOLS,
        prior_sample=prior_sample,
    )


def _posteriordb(name: str) -> dict[str, Any]:
    with zipfile.ZipFile(DATA / "posteriordb" / f"{name}.json.zip") as archive:
        return json.loads(archive.read(archive.namelist()[0]))


def arK() -> cal.Posterior:
    data = _posteriordb("arK")
    y, lags = np.array(data["y"], float), int(data["K"])
    past = np.stack([y[lags - k - 1 : len(y) - k - 1] for k in range(lags)], axis=1)

    def log_prior(z: Any) -> Any:
        return (
            norm.logpdf(z["alpha"], 0.0, 10.0) + norm.logpdf(z["beta"], 0.0, 10.0).sum() + _half_cauchy(z["sigma"], 2.5)
        )

    def prior_sample(key: Any) -> Any:
        a, b = jax.random.split(key)
        return _normals(a, alpha=((), 10.0), beta=((lags,), 10.0)) | {"sigma": jnp.abs(2.5 * jax.random.cauchy(b))}

    return cal.Posterior(
        log_prior,
        lambda z, data: norm.logpdf(data[1], z["alpha"] + data[0] @ z["beta"], z["sigma"]).sum(),
        (past, y[lags:]),
        prior_sample=prior_sample,
        constraints={"sigma": cal.Positive()},
    )


def radon() -> cal.Posterior:
    raw = _posteriordb("radon_mn")
    data = {k: np.array(raw[k], float) for k in ("log_uppm", "floor_measure", "log_radon")}
    data["county"] = np.array(raw["county_idx"]) - 1
    counties = int(raw["J"])

    def log_prior(z: Any) -> Any:
        scales = _half_normal(z["sigma_alpha"], 1.0) + _half_normal(z["sigma_y"], 1.0)
        return (
            scales
            + norm.logpdf(z["mu"], 0.0, 10.0)
            + norm.logpdf(z["beta"], 0.0, 10.0).sum()
            + norm.logpdf(z["raw"]).sum()
        )

    def log_likelihood(z: Any, data: Any) -> Any:
        county = z["mu"] + z["sigma_alpha"] * z["raw"]
        mean = county[data["county"]] + z["beta"][0] * data["log_uppm"] + z["beta"][1] * data["floor_measure"]
        return norm.logpdf(data["log_radon"], mean, z["sigma_y"]).sum()

    def prior_sample(key: Any) -> Any:
        z = _normals(
            key, sigma_alpha=((), 1.0), sigma_y=((), 1.0), mu=((), 10.0), beta=((2,), 10.0), raw=((counties,), 1.0)
        )
        return z | {"sigma_alpha": jnp.abs(z["sigma_alpha"]), "sigma_y": jnp.abs(z["sigma_y"])}

    positive = {"sigma_alpha": cal.Positive(), "sigma_y": cal.Positive()}
    return cal.Posterior(log_prior, log_likelihood, data, prior_sample=prior_sample, constraints=positive)


# --- logistic regression --------------------------------------------------------------------------------------------


def _logistic(x: np.ndarray, y: np.ndarray, scale: np.ndarray) -> cal.Posterior:
    """Rows x, labels y = ±1, coefficients N(0, scale²); an infinite scale is a flat prior, not normalised."""
    finite, width = np.isfinite(scale), np.where(np.isfinite(scale), scale, 1.0)

    def log_prior(w: Any) -> Any:
        return jnp.where(finite, norm.logpdf(w, 0.0, width), 0.0).sum()

    def prior_sample(key: Any) -> Any:
        return width * jax.random.normal(key, (len(scale),))

    return cal.Posterior(
        log_prior, lambda w, data: -jax.nn.softplus(-data[1] * (data[0] @ w)).sum(), (x, y), prior_sample=prior_sample
    )


def _german() -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(DATA / "german_credit_numeric.csv", delimiter=",")
    return table[:, :-1], np.where(table[:, -1] == 1, 1.0, -1.0)


def _with_intercept(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def german_credit() -> cal.Posterior:
    x, y = _german()
    return _logistic(_with_intercept((x - x.mean(0)) / x.std(0)), y, np.ones(25))


def german_credit_flat() -> cal.Posterior:
    x, y = _german()
    return _logistic(_with_intercept(x / x.std(0)), y, np.full(25, np.inf))


def _sonar() -> tuple[np.ndarray, np.ndarray]:
    with open(DATA / "sonar.all-data") as file:
        rows = [row for row in csv.reader(file) if row]
    x = np.array([row[:-1] for row in rows], float)
    return (x - x.mean(0)) / x.std(0), np.where(np.array([row[-1] for row in rows]) == "M", 1.0, -1.0)


def sonar_wide() -> cal.Posterior:
    x, y = _sonar()
    return _logistic(_with_intercept(0.5 * x), y, np.array([5.0] * 60 + [20.0]))


def sonar() -> cal.Posterior:
    x, y = _sonar()
    return _logistic(_with_intercept(x), y, np.ones(61))


# --- shapes ---------------------------------------------------------------------------------------------------------


def shells(d: int) -> cal.Posterior:
    centre = np.zeros(d)
    centre[0] = 3.5

    def log_likelihood(x: Any, _: Any) -> Any:
        radii = jnp.stack([jnp.sqrt(((x - c) ** 2).sum() + 1e-300) for c in (centre, -centre)])
        return jax.nn.logsumexp(norm.logpdf(radii, 2.0, 0.1))

    return _in_box(d, -6.0, 6.0, log_likelihood)


def eggbox() -> cal.Posterior:
    return _in_box(2, 0.0, 10.0 * math.pi, lambda x, _: (2.0 + jnp.cos(x[0] / 2.0) * jnp.cos(x[1] / 2.0)) ** 5)


def _in_box(d: int, low: float, high: float, log_likelihood: Callable[[Any, Any], Any]) -> cal.Posterior:
    return cal.Posterior(
        lambda x: -d * math.log(high - low) + 0.0 * x.sum(),
        log_likelihood,
        prior_sample=lambda key: jax.random.uniform(key, (d,), minval=low, maxval=high),
        constraints=cal.Interval(low, high),
    )


def funnel() -> cal.EnergyModel:
    def log_density(z: Any) -> Any:
        return norm.logpdf(z[0], 0.0, 3.0) + norm.logpdf(z[1:], 0.0, jnp.exp(0.5 * z[0])).sum()

    return cal.EnergyModel(log_density, np.zeros(10))


def bimodal20() -> cal.EnergyModel:
    def log_density(z: Any) -> Any:
        return jnp.logaddexp(math.log(0.3) + norm.logpdf(z, -2.0).sum(), math.log(0.7) + norm.logpdf(z, 2.0).sum())

    return cal.EnergyModel(log_density, np.zeros(20))


TARGETS = {
    target.name: target
    for target in (
        KnownTarget("one normal", one_normal, -41.0305103089, wanted=1e-3),
        KnownTarget("blr10", blr10, -109.7635463797),
        KnownTarget("German credit", german_credit, -529.1750, 0.0012, wanted=0.01),
        KnownTarget("German credit, flat prior", german_credit_flat, -504.4847, 0.003),
        KnownTarget("eight schools", eight_schools, -31.3113473523),
        KnownTarget("eight schools, log-normal", eight_schools_gym, -36.1308159112),
        KnownTarget("arK", arK, 58.5875939223),
        KnownTarget("radon", radon, -1045.3175, 1e-4),
        KnownTarget("Brownian", brownian, 5.6130434908),
        KnownTarget("Brownian, unknown scales", brownian_unknown, 1.18776, 6e-5),
        KnownTarget("Sonar", sonar, -108.45, 0.04, wanted=0.1),
        KnownTarget("Sonar, wide prior", sonar_wide, -125.6, 0.1, wanted=0.3),
        KnownTarget("funnel10", funnel, 0.0, wanted=0.05),
        KnownTarget("bimodal20", bimodal20, 0.0),
        KnownTarget("shells 2", lambda: shells(2), -1.7456418720, wanted=0.05),
        KnownTarget("shells 10", lambda: shells(10), -14.5904910744, wanted=0.05),
        KnownTarget("shells 30", lambda: shells(30), -60.1277673414, wanted=0.05),
        KnownTarget("eggbox", eggbox, 235.855940, 2e-6),
    )
}
