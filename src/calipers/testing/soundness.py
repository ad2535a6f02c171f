"""Every deterministic method on one model whose log Z is known: its answers true, its certificates sound.

    soundness(model, log_z, folder, random)  →  what was counted

Methods for magnets also run on magnets found in factor graphs, as `Auto` runs them. **Cost** about a second a model;
`Pairs` compiles anew for every shape, and is left out unless asked for.
"""

import collections
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calipers.auto import Auto
from calipers.bounds.clamping import Clamping
from calipers.bounds.log_determinant import LogDeterminant
from calipers.bounds.mini_bucket import MiniBucket
from calipers.bounds.pairs import Pairs
from calipers.bounds.recognised import about_whole
from calipers.bounds.region_bethe import RegionBethe
from calipers.bounds.search import Search
from calipers.bounds.strips import Strips
from calipers.bounds.structured_mean_field import StructuredMeanField
from calipers.bounds.tangent import Tangent
from calipers.core.answer import Answer
from calipers.core.method import AbstractMethod, Limits, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.closed_form import ClosedForm
from calipers.exact.counting import ModelCounting
from calipers.exact.elimination import Elimination
from calipers.exact.enumeration import Enumeration
from calipers.exact.exchangeable import Exchangeable
from calipers.exact.planar import Planar
from calipers.exact.transfer_matrix import TransferMatrix
from calipers.io.npz import write_npz
from calipers.io.uai import read_uai
from calipers.io.uai_writer import write_uai
from calipers.models.ising import Ising
from calipers.models.recognition import as_ising, on_grid
from calipers.models.reduction import as_reduced
from calipers.testing.certificates import Tally, check_certificates
from calipers.testing.requirements import require, slack_of
from calipers.variational.mean_field import MeanField

METHODS: tuple[AbstractMethod, ...] = (
    Enumeration(),
    Elimination(order_seconds=0.01),
    TransferMatrix(threads=1),
    ClosedForm(),
    Planar(),
    ModelCounting(),
    Exchangeable(),
    MeanField(starts=2),
    Tangent(width=2, starts=1, sweeps=3),
    Tangent(width=3, starts=2, sweeps=3),
    MiniBucket(ibound=1, sweeps=3),
    MiniBucket(ibound=2, sweeps=0, orders=1),
    Search(ibound=1, sweeps=3, orders=1),
    Clamping(leaf_log2_size=2, upper=MiniBucket(ibound=1, sweeps=3)),
    Auto(),
)
OF_MAGNETS: tuple[AbstractMethod, ...] = (
    Strips(width=3, steps=3),
    Strips(steps=2),
    StructuredMeanField(width=2, starts=1),
    RegionBethe(width=1),
    RegionBethe(width=3),
    LogDeterminant(steps=5),
)
PAIRS = Pairs(steps=4)


class Counts(NamedTuple):
    """Methods that took the model, answers that were compared, certificates, and sides that have none."""

    methods: tuple[str, ...]
    answers: int
    tally: Tally
    without: dict[str, int]


def soundness(
    model: AbstractDiscreteModel, log_z: float, folder: Path, random: np.random.Generator, pairs: bool = False
) -> Counts:
    """Runs every method that takes the model, and checks all that it says; `model` is used as a file would hold it.

    **Raises:** `AssertionError` naming the method and what went wrong.
    """
    model, file = as_file(model, folder)
    tally, seen, without, names, slack = Tally(), 0, collections.Counter[str](), [], slack_of(log_z)
    for name, answers in runs(model, pairs):
        best = Answer()
        try:
            for answer in answers:
                require(answer.lower.value <= log_z + slack, f"lower {answer.lower.value!r} > log Z = {log_z!r}")
                require(answer.upper.value >= log_z - slack, f"upper {answer.upper.value!r} < log Z = {log_z!r}")
                best, seen = best & answer, seen + 1
            found = check_certificates(best, model, log_z, folder, random, file)
        except Refusal:
            continue
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        names.append(name)
        tally = tally.plus(found._replace(without=()))
        without.update(f"{side} in {name}" for side in found.without)
    return Counts(tuple(names), seen, tally, dict(without))


def as_file(model: AbstractDiscreteModel, folder: Path) -> tuple[AbstractDiscreteModel, dict[str, Any]]:
    """The model as a user's file holds it, and what the checker is told of the file."""
    if isinstance(model, Ising):
        write_npz(model, folder / "m.npz")
        return model, {"model": folder / "m.npz"}
    graph = model.factor_graph()
    write_uai(graph, folder / "m.uai")
    found, file = read_uai(folder / "m.uai"), {"model": folder / "m.uai"}
    if graph.evidence:
        file["evidence"] = folder / "m.uai.evid"
    return found.condition(dict(graph.evidence)), file


def runs(model: AbstractDiscreteModel, pairs: bool) -> Iterator[tuple[str, Iterator[Answer]]]:
    """Every method that takes the model, by name, and its answers."""
    reduced = None if isinstance(model, Ising) else as_reduced(model)
    magnet = model if isinstance(model, Ising) else as_ising(reduced.model) if reduced is not None else None
    magnet = None if magnet is None else on_grid(magnet)
    special = (*OF_MAGNETS, PAIRS) if pairs else OF_MAGNETS
    for method in (*METHODS, *(special if magnet is not None else ())):
        inside = magnet is not None and method in special
        subject = magnet if inside else model
        try:
            answers = method.answers(subject, method.plan(subject, Limits()))
        except Refusal:
            continue
        if inside and reduced is not None and magnet is not None:
            yield f"{method!r} in a file", about_whole(answers, reduced, magnet)
        else:
            yield repr(method), answers
