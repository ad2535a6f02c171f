"""The result of a run: one JSON document, or a few lines for people."""

import json
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

STOPPED = {
    "EXACT": "exact",
    "GAP_MET": "gap",
    "TIME_LIMIT": "time",
    "INTERRUPTED": "interrupted",
    "EXHAUSTED": "exhausted",
    "UNCONVERGED": "unconverged",
    "REFUSED": "refused",
}
EXIT = {"exact": 0, "gap": 0, "interrupted": 130}  # anything else: the bracket is wider than asked
_UNKNOWN: dict[str, Any] = {
    "log_z": {"lower": "-inf", "upper": "inf", "value": None},
    "grounds": {"lower": "none", "upper": "none"},
    "methods": {"lower": "", "upper": ""},
    "deterministic": {"lower": "-inf", "upper": "inf"},
    "delta": 0.0,
    "gap": "inf",
}


def describe_model(source: str, model: Any) -> dict[str, Any]:
    """Size and identity of a model; `sha256` is of its canonical form, the one that certificates carry."""
    from calipers.io.witness_arrays import model_digest, model_parts
    from calipers.models.ising import Ising

    magnet = isinstance(model, Ising)  # its factor graph is long: a table an edge and a site
    factors = len(model.edges) + model.n + (model.offset != 0) if magnet else len(model.factor_graph().scopes)
    said = {
        "source": source,
        "variables": int(model.n),
        "factors": int(factors),
        "sha256": model_digest(*model_parts(model)),
    }
    spec = model.lattice.spec(model.beta) if magnet and model.lattice is not None else None
    return said if spec is None else {**said, "spec": spec}  # every law and seed spelled out


def exit_code(stopped: str) -> int:
    """0 when log Z is exact or the gap is met, 130 when interrupted, else 3."""
    return EXIT.get(stopped, 3)


def document(
    model: Mapping[str, Any],
    answer: Any,
    *,
    stopped: str,
    reasons: Mapping[str, str],
    started: float,
    seed: int,
) -> dict[str, Any]:
    """The JSON document. `answer` None: interrupted before there was any."""
    from importlib.metadata import version  # slow to import, and `--help` does without

    said = _UNKNOWN if answer is None else answer.to_dict()
    return {
        "model": dict(model),
        **said,
        "stopped": stopped,
        "reasons": dict(reasons),
        "stats": {} if answer is None else plain(answer.stats),
        "plan": None if answer is None or answer.plan is None else str(answer.plan),
        "seconds": round(time.monotonic() - started, 3),
        "seed": seed,
        "version": version("calipers"),
    }


def add_marginals(doc: dict[str, Any], answer: Any, bounds: Any = None) -> None:
    """Adds p(x_i = state) and what it rests on, and bounds on it where they were computed."""
    belief = None if answer is None else answer.belief
    doc["marginals"] = None if belief is None else plain(belief.marginals)
    doc["grounds"] = {**doc["grounds"], "marginals": "none" if belief is None else str(belief.grounds)}
    if bounds is not None:
        doc["marginal_bounds"] = {"lower": plain(bounds.lower), "upper": plain(bounds.upper)}
        doc["grounds"]["marginal_bounds"] = "exact" if bounds.exact else "computed"


def plain(value: Any) -> Any:
    """Numbers, strings, lists and tables only; infinities become the strings "-inf" and "inf"."""
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else (None if math.isnan(value) else "inf" if value > 0 else "-inf")
    try:
        return plain(value.tolist())  # numpy and jax arrays and scalars
    except AttributeError:
        return str(value)


def print_json(doc: Any) -> None:
    """One line; every number reads back as the same float64."""
    print(json.dumps(doc, ensure_ascii=False, allow_nan=False), flush=True)


def print_text(doc: dict[str, Any]) -> None:
    """The same for people."""
    from calipers.core.answer import show_bracket

    lower, upper = (float(doc["log_z"][side]) for side in ("lower", "upper"))
    variables = doc["model"]["variables"]
    print(f"log Z {show_bracket(lower, upper)} nats   ({doc['model']['source']}{_size(doc['model'])})")
    for side in ("lower", "upper"):
        print(f"  {side}  {doc['log_z'][side]!s:<22} {doc['grounds'][side]:<11} {doc['methods'][side]}".rstrip())
    if doc["log_z"]["value"] is not None and doc["stopped"] != "exact":
        print(f"  value  {doc['log_z']['value']!s:<22} estimate")
    if doc["delta"]:
        both = doc["deterministic"]
        print(
            f"  at δ = 0: [{both['lower']}, {both['upper']}]; the sides above fail with probability ≤ {doc['delta']:g}"
        )
    gap = float(doc["gap"])
    per = f", {gap / variables:.3g} per variable" if variables and math.isfinite(gap) else ""
    print(f"  gap    {gap:.3g} nats{per}")
    print(f"  stopped: {doc['stopped']}, {doc['seconds']:.2f} s, seed {doc['seed']}")
    for i, p in enumerate(doc.get("marginals") or []):
        if i == 0:
            print(f"marginals ({doc['grounds']['marginals']})")
        print(f"  {i:>6}  " + " ".join(f"{x:.6f}" for x in p))
    for i, sides in enumerate(zip(*doc.get("marginal_bounds", {}).values(), strict=True)):
        if i == 0:
            print(f"bounds on marginals ({doc['grounds']['marginal_bounds']})")
        print(f"  {i:>6}  " + " ".join(f"[{low:.6f}, {high:.6f}]" for low, high in zip(*sides, strict=True)))
    sys.stdout.flush()


def _size(model: Mapping[str, Any]) -> str:
    if model["variables"] is None:
        return ""
    return f", {model['variables']} variables, {model['factors']} factors"


def say(line: str) -> None:
    """One line on stderr."""
    print("calipers: " + " ".join(line.split()), file=sys.stderr, flush=True)
