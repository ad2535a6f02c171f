"""How long a certificate takes to check: CPU seconds of the checker by kind of witness, on square lattices.

    python benchmarks/verification.py [--spins 10000,100000] [KIND …]

Each certificate is written by the method that leaves such a witness, with few or no sweeps: that makes a worse bound,
but a witness of the same size. Kinds: product, strips (tangents), pairs, plaquettes (decompositions), elimination,
split (sixteen leaves that share one elimination), bethe (strips joined by the edges between them), regions (strips that
overlap), search (a tree of some ten thousand prefixes over mini-buckets), in_file (strips of the same magnet in a UAI
file, whose pairs hold the fields); and log_determinant, of dense magnets of at most 500 spins. One line a certificate:
what it took to write, its size, and what it took to check, best of two.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

import calipers as cal
from calipers.bounds.decision_tree import decision_tree
from calipers.bounds.recognised import about_whole
from calipers.core.answer import Answer, Grounds, Side
from calipers.core.method import Limits
from calipers.core.witness import Bethe, Decomposition, Link, Tangent, Witness
from calipers.models.recognition import as_ising, on_grid
from calipers.models.reduction import as_reduced
from calipers_check import check

Made = tuple[cal.Ising | cal.FactorGraph, Answer]


def glass(spins: int) -> cal.Ising:
    """A glass with fields, periodic, as nearly square as may be."""
    side = math.isqrt(spins)
    return cal.from_spec(f"square:{side}x{side},J=pm1,h=gauss:0.1,beta=1,seed=1")


def by_method(method: cal.AbstractMethod) -> Callable[[int], Made]:
    """A certificate of what `method` finds on a glass."""

    def make(spins: int) -> Made:
        model = glass(spins)
        return model, cal.log_z(model, method, time_limit=3600.0, gap=0.0)

    return make


def strip(spins: int) -> cal.Ising:
    """A strip four spins wide."""
    return cal.from_spec(f"square:4x{spins // 4},J=pm1,h=gauss:0.1,beta=1,seed=1,open")


def elimination(spins: int) -> Made:
    """Exact elimination of a strip."""
    model = strip(spins)
    return model, cal.log_z(model, cal.Elimination(), time_limit=3600.0)


def split(spins: int) -> Made:
    """The same, once for each state of four spins in the middle of the strip."""
    model, answer = elimination(spins)
    whole = read(answer.lower)
    assert isinstance(whole, Decomposition)
    middle = [k * (spins // 4) + spins // 8 for k in range(4)]
    leaves = [(zip(middle, states, strict=True), 0) for states in product((0, 1), repeat=4)]
    witness = decision_tree(leaves, model.domains.tolist(), [whole])
    sides = (
        Side(s.value, Grounds.COMPUTED, method="by hand", witness=lambda: witness) for s in answer.deterministic or ()
    )
    return model, Answer(*sides)


def bethe(spins: int) -> Made:
    """Strips of a magnet, joined by pseudo-marginals that are a little more aligned than independent ones."""
    side = math.isqrt(spins)
    model = cal.Ising.square((side, side), coupling=1.0, field=0.1, beta=0.3)
    answer = cal.log_z(model, cal.Tangent(width=4, starts=1, sweeps=1), time_limit=3600.0, gap=0.0)
    trial = read(answer.lower)
    assert isinstance(trial, Tangent)
    home = {v: b for b, block in enumerate(trial.blocks) for v in block.order}
    aligned = 1e-3 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    links = [Link(a, aligned) for a, (i, j) in enumerate(model.edges.tolist()) if home[i] != home[j]]
    witness = Bethe(trial.states, np.zeros(model.n, np.int64), trial.blocks, tuple(links))
    low = Side(answer.lower.value, Grounds.COMPUTED, method="by hand", witness=lambda: witness)
    return model, Answer(low)


def search(spins: int) -> Made:
    """The first twenty thousand prefixes of a search."""
    model, method = glass(spins), cal.Search(ibound=4, sweeps=1, orders=1)
    plan = method.plan(model, Limits())
    last = next(a for a in method.answers(model, plan) if "open" in a.stats and a.stats["open"] > 5000)
    return model, last


def in_file(spins: int) -> Made:
    """Strips of a magnet that is found in a factor graph, whose pair tables hold the fields."""
    side = math.isqrt(spins)
    whole = cal.from_spec(f"square:{side}x{side},J=pm1,h=gauss:0.1,beta=1,seed=1,open").factor_graph()
    pairs = [(s, np.asarray(t)) for s, t in zip(whole.scopes, whole.tables, strict=True)]
    fields = {s[0]: t for s, t in pairs if len(s) == 1}
    tables = [(s, t + fields.pop(s[0], np.zeros(2))[:, None] if len(s) == 2 else t) for s, t in pairs]
    kept = [(s, t) for s, t in tables if len(s) == 2 or s[0] in fields]
    graph = cal.FactorGraph(whole.sizes, tuple(s for s, _ in kept), tuple(t for _, t in kept))
    reduced = as_reduced(graph)
    magnet = on_grid(as_ising(reduced.model) or cal.Ising.chain(1))
    method = cal.Strips(width=3, steps=0)
    return graph, next(about_whole(method.answers(magnet, method.plan(magnet)), reduced, magnet))


def log_determinant(spins: int) -> Made:
    """A dense magnet."""
    model = cal.Ising.sherrington_kirkpatrick(min(spins, 500), beta=0.5, seed=1)
    return model, cal.log_z(model, cal.LogDeterminant(steps=2), time_limit=3600.0, gap=0.0)


def read(side: Side) -> Witness:
    """The witness of a side, written out."""
    return side.witness() if callable(side.witness) else side.witness


KINDS: dict[str, Callable[[int], Made]] = {
    "product": by_method(cal.Tangent(width=1, starts=1, sweeps=1)),
    "strips": by_method(cal.Tangent(width=4, starts=1, sweeps=1)),
    "pairs": by_method(cal.Pairs(steps=0)),
    "plaquettes": by_method(cal.MiniBucket(ibound=4, sweeps=1, orders=1)),
    "elimination": elimination,
    "split": split,
    "bethe": bethe,
    "regions": by_method(cal.Strips(width=3, steps=0)),
    "search": search,
    "in_file": in_file,
    "log_determinant": log_determinant,
}


def measure(kind: str, spins: int) -> str:
    """Writes one certificate and checks it."""
    began = time.process_time()
    model, answer = KINDS[kind](spins)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.cert")
        cal.Certificate.from_answer(answer, model).save(path)
        written, size = time.process_time() - began, path.stat().st_size
        seconds = []
        for _ in range(2):
            began = time.process_time()
            verdict = check(path)
            seconds.append(time.process_time() - began)
    if not verdict.accepted:
        raise RuntimeError(f"{kind}: {verdict.reason}")
    best, sides = min(seconds), "+".join(c.side for c in verdict.claims)
    row = f"{kind:<15} {sides:<12} {model.n:>8} {written:>9.1f} {size / 1e6:>8.2f}"
    return f"{row} {best:>8.2f} {1e6 * best / model.n:>9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--spins", default="10000", help="numbers of spins, with commas (default 10000)")
    options = parser.parse_args()
    print(f"{'kind':<15} {'sides':<12} {'spins':>8} {'write s':>9} {'MB':>8} {'check s':>8} {'µs/spin':>9}")
    for spins in map(int, options.spins.split(",")):
        for kind in options.kinds:
            print(measure(kind, spins), flush=True)


if __name__ == "__main__":
    main()
