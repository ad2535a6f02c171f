"""Writes UAI models and the UAI result formats PR (log10 Z) and MAR (marginals).

A table that was read from text is written back as the same words; any other as exp(θ) to 17 digits, so that each
entry is within an ulp or two of the model's. Entries below float64 are written as decimals all the same; a table whose
largest entry float64 cannot hold is divided by it, and the divisor follows as constant factors at the end of the file.
"""

import gzip
import itertools
import math
import os
from collections.abc import Sequence
from decimal import Context, Decimal

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.models.factor_graph import FactorGraph

_LARGEST, _SMALLEST = 709.0, -708.0  # exp stays a normal float64 between them
_DIGITS = Context(prec=17)

Path = str | os.PathLike[str]


def write_uai(model: AbstractDiscreteModel, path: Path) -> None:
    """Writes a model as a UAI file (gzip if the name ends in .gz), and its evidence, if any, to `path` + ".evid".

    **Arguments:** `model`, any discrete model; its β is multiplied into the tables.
    """
    graph = model.factor_graph()
    if graph.text is not None and graph.beta == 1.0:
        kind, tables = graph.text.split(maxsplit=1)[0].decode(), _original_words(graph)
        divisors: list[str] = []
    else:
        kind, (tables, divisors) = "MARKOV", _decimal_words(graph)
    scopes = [*graph.scopes, *(() for _ in divisors)]
    tables = [*tables, *([d] for d in divisors)]
    lines = [kind, str(graph.n), " ".join(map(str, graph.sizes)), str(len(scopes))]
    lines += [" ".join(map(str, (len(scope), *scope))) for scope in scopes]
    lines += [f"\n{len(words)}\n {' '.join(words)}" for words in tables]
    text = ("\n".join(lines) + "\n").encode()
    name = os.fspath(path)
    with gzip.open(name, "wb") if name.endswith(".gz") else open(name, "wb") as file:
        file.write(text)
    if graph.evidence:
        pairs = "".join(f" {v} {x}" for v, x in graph.evidence)
        _write(name + ".evid", f"{len(graph.evidence)}{pairs}\n")


def write_pr(log_z: float, path: Path) -> None:
    """Writes log Z, given in nats, as a UAI PR file: log10 Z."""
    _write(path, f"PR\n{log_z / math.log(10.0)!r}\n")


def write_mar(marginals: Sequence[Sequence[float] | np.ndarray], path: Path) -> None:
    """Writes p(x_i = state) of every variable, `marginals[i]` of shape (domains[i],), as a UAI MAR file."""
    words = [str(len(marginals))]
    for p in marginals:
        words += [str(len(p)), *(repr(float(x)) for x in p)]
    _write(path, f"MAR\n{' '.join(words)}\n")


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(text)


def _original_words(graph: FactorGraph) -> list[list[str]]:
    """The entries of each table as the words they were read from."""
    assert graph.text is not None
    words = graph.text.decode().split()
    place = 3 + graph.n + sum(1 + len(scope) for scope in graph.scopes)
    tables = []
    for table in graph.tables:
        tables.append(words[place + 1 : place + 1 + table.size])
        place += 1 + table.size
    return tables


def _decimal_words(graph: FactorGraph) -> tuple[list[list[str]], list[str]]:
    """The entries of each table as decimals, and the divisors that were taken out of tables too large for float64."""
    logs = [np.asarray(t, np.float64).ravel() for t in graph.log_tables()]
    tops = [float(t.max()) for t in logs]
    excess = [top if top > _LARGEST else 0.0 for top in tops]
    values = np.concatenate([t - e for t, e in zip(logs, excess, strict=True)]) if logs else np.zeros(0)
    words = list(map(repr, np.exp(values).tolist()))
    for i in np.flatnonzero((values < _SMALLEST) & np.isfinite(values)):
        words[i] = str(_DIGITS.exp(Decimal(float(values[i])))).lower()
    cuts = np.cumsum([0, *(t.size for t in logs)]).tolist()
    return [words[a:b] for a, b in itertools.pairwise(cuts)], [d for e in excess if e for d in _split_exp(e)]


def _split_exp(excess: float) -> list[str]:
    """Numbers within float64 whose product is exp(excess), a positive excess."""
    parts = math.ceil(excess / 700.0)
    return [repr(math.exp(excess / parts))] * parts
