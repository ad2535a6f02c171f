"""What was drawn, as an ArviZ InferenceData, with dimensions (chain, draw).

Series of a run are its posterior, and configurations have a site too. Series of another shape, as overlaps of pairs of
chains, are left out, and named in the attributes. Independent draws of a fit are one chain. Importing arviz warns of
its own future; that warning alone is let go by, and only while it is imported.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np


def inference_data(series: Mapping[str, np.ndarray], states: np.ndarray | None, about: Mapping[str, Any]) -> Any:
    """An `arviz.InferenceData` of a run.

    **Arguments:** `series`, "energy" and others, (chains, t); `states`, (chains, t, n), if they were kept; `about`,
    attributes.

    **Returns:** a posterior of variables (chain, draw), with `states` (chain, draw, site).

    **Raises:** `ImportError` naming the extra when arviz is not installed.
    """
    arviz, xarray = _modules()
    shape = series["energy"].shape
    found: dict[str, Any] = {k: (("chain", "draw"), x) for k, x in series.items() if x.shape == shape}
    if states is not None:
        found["states"] = (("chain", "draw", "site"), states)
    left_out = ", ".join(k for k, x in series.items() if x.shape != shape)
    facts = {**about, "left_out": left_out, "inference_library": "calipers"}
    sizes = zip(("chain", "draw", "site"), (*shape, 0 if states is None else states.shape[2]), strict=True)
    coordinates = {name: np.arange(size) for name, size in sizes if size}
    return arviz.InferenceData(posterior=xarray.Dataset(found, coords=coordinates, attrs=facts))


def independent_draws(
    posterior: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> Any:
    """An `arviz.InferenceData` of independent draws, as one chain.

    **Arguments:** `posterior` and `stats`, arrays by name, draws along the first axis; `about`, attributes.

    **Raises:** `ImportError` naming the extra when arviz is not installed.
    """
    arviz, xarray = _modules()
    facts = {**about, "inference_library": "calipers"}

    def dataset(columns: Mapping[str, np.ndarray]) -> Any:
        found = {
            name: (("chain", "draw", *(f"{name}_dim_{i}" for i in range(values.ndim - 1))), values[None])
            for name, values in columns.items()
        }
        sizes = {dim: size for dims, values in found.values() for dim, size in zip(dims, values.shape, strict=True)}
        return xarray.Dataset(found, coords={dim: np.arange(size) for dim, size in sizes.items()}, attrs=facts)

    return arviz.InferenceData(posterior=dataset(posterior), sample_stats=dataset(stats))


def _modules() -> tuple[Any, Any]:
    """arviz and xarray."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
            import arviz
            import xarray
    except ImportError as missing:
        raise ImportError("inference data need arviz: pip install 'calipers[arviz]'") from missing
    return arviz, xarray
