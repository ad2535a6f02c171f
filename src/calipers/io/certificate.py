"""Certificates: one zip file that lets a stranger recompute a bracket's sides from the model and a witness.

    header.json      format, producer, model {kind, sha256, parts}, claims [{side, kind, claim, …}], sha256 of arrays
    model/….npy      the user's own numbers (left out with embed=False; their digests stay)
    witness0/….npy   the free choices of one bound: kept states, then buckets or blocks, then extra tables

It proves nothing by itself: `calipers_check` recomputes every bound in interval arithmetic (docs/theorems.md has the
proofs, checker/README.md the format). A claim is the side's float64, one unit further out. Cost: linear in the witness.
Fails when no side carries a witness: statistical sides, and methods that leave none.
"""

import math
from functools import partial
from importlib.metadata import version
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from calipers.core.answer import Answer, Grounds, Side
from calipers.core.model import AbstractDiscreteModel, AbstractModel
from calipers.core.witness import Decomposition, Drawing, Formula, LogDeterminant, Witness
from calipers.io.archive import FORMAT, digests, folder, read_archive, write_archive
from calipers.io.errors import InputError
from calipers.io.witness_arrays import build_model, decode, encode, model_digest, model_parts

_KINDS: dict[type, str] = {  # others are called by their type's name
    Formula: "closed_form",
    LogDeterminant: "log_determinant",
    Drawing: "planar",
}


class Claim(NamedTuple):
    """One side to be proved: `claim` is a decimal number (or "-inf"), rounded outward; `witness` is its proof."""

    side: str
    claim: str
    method: str
    witness: Witness

    @property
    def kind(self) -> str:
        """Which bound the witness is about."""
        return _KINDS.get(type(self.witness)) or type(self.witness).__name__.lower()


class Certificate(NamedTuple):
    """Claims about one model, with what is needed to check them."""

    model: AbstractDiscreteModel
    claims: tuple[Claim, ...]

    @classmethod
    def from_answer(cls, answer: Answer, model: AbstractModel) -> "Certificate":
        """Takes the deterministic sides, or, where they carry no witness, the tightest that do.

        **Raises:** `ValueError` when neither side does, or the model is not discrete: there is nothing to certify.
        """
        if not isinstance(model, AbstractDiscreteModel):
            raise ValueError(f"certificates speak of discrete models; this one is a {type(model).__name__}")
        assert answer.deterministic is not None
        assert answer.provable is not None
        written: dict[int, Witness | str | None] = {}
        found: tuple[Claim, ...] = ()
        ends = zip(("lower", "upper"), (-math.inf, math.inf), answer.deterministic, answer.provable, strict=True)
        for name, away, *sides in ends:
            claims = (_claim(name, side, away, model, written) for side in sides)
            found += tuple(claim for claim in claims if claim is not None)[:1]
        if not found:
            reasons = [reason for reason in written.values() if isinstance(reason, str)]
            raise ValueError(
                "no side of this answer carries a witness, so there is nothing to certify; "
                + (reasons[0] if reasons else "Elimination(), MiniBucket() and Tangent() leave one")
            )
        return cls(model, found)

    def sides(self) -> tuple[Side, Side]:
        """The lower and the upper side as claimed, not checked; infinite where nothing is claimed."""
        found = {"lower": Side(-math.inf, Grounds.NONE), "upper": Side(math.inf, Grounds.NONE)}
        for c in self.claims:
            witness = partial(_itself, c.witness)  # a side carries a function that writes its witness
            found[c.side] = Side(float(c.claim), Grounds.COMPUTED, method=c.method, witness=witness)
        return found["lower"], found["upper"]

    def save(self, path: str | PathLike[str], embed: bool = True) -> None:
        """Writes the file, whole or not at all; `embed=False` keeps only the model's digests.

        **Raises:** `OSError` when the place cannot be written; `ValueError` when a witness does not fit the model.
        """
        kind, parts = model_parts(self.model)
        witnesses = {id(c.witness): c.witness for c in self.claims}
        names = {key: f"witness{i}" for i, key in enumerate(witnesses)}
        arrays = {f"model/{name}": part for name, part in parts.items()} if embed else {}
        for key, witness in witnesses.items():
            encoded = encode(witness, self.model.domains.tolist())
            arrays |= {f"{names[key]}/{name}": array for name, array in encoded.items()}
        header = {
            "producer": f"calipers {version('calipers')}",
            "model": {"kind": kind, "sha256": model_digest(kind, parts), "parts": digests(parts)},
            "claims": [_row(c, names[id(c.witness)]) for c in self.claims],
        }
        write_archive(path, header, arrays)


def load(path: str | PathLike[str], model: AbstractDiscreteModel | None = None) -> Certificate:
    """Reads a certificate back. Digests are checked; whether the claims follow is not.

    **Arguments:** `path`; `model`, needed when the file does not embed its own.

    **Raises:** `InputError` when the file is no certificate, is damaged, or speaks of another model than `model`.
    """
    header, arrays = read_archive(path)
    try:
        section, parts = header["model"], folder(arrays, "model")
        if model is None and not parts:
            raise InputError(path, None, "the certificate does not hold its model; give the model")
        found = build_model(section["kind"], parts) if model is None else model
        if _digest(found) != section["sha256"]:
            raise InputError(path, None, "the certificate speaks of another model")
        rows = [(c["side"], c["claim"], c["method"], c["witness"]) for c in header["claims"]]
        if any(side not in ("lower", "upper") or math.isnan(float(claim)) for side, claim, *_ in rows):
            raise ValueError("a claim is not a number that bounds a side")
        decoded = {name: decode(folder(arrays, name)) for name in {row[-1] for row in rows}}
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise InputError(path, None, f"not a certificate of format {FORMAT}: {error!r}") from None
    return Certificate(found, tuple(Claim(side, claim, method, decoded[name]) for side, claim, method, name in rows))


def resume(source: "Certificate | str | PathLike[str]", model: AbstractModel) -> Answer:
    """What a certificate claims about log Z of `model`, to go on from: `computed` sides, with their witnesses.

    **Arguments:** `source`, the certificate or its file; `model`, which must be the one that it speaks of.

    **Raises:** `InputError` when a file cannot be read, is damaged, or its claims contradict each other; it or, for a
    certificate that is not a file, `ValueError` when the model is another.
    """
    if not isinstance(model, AbstractDiscreteModel):
        raise ValueError(f"certificates speak of discrete models; this one is a {type(model).__name__}")
    certificate = source if isinstance(source, Certificate) else load(source, model)
    if certificate.model is not model and _digest(certificate.model) != _digest(model):
        raise ValueError("the certificate speaks of another model")
    low, high = certificate.sides()
    if low.value > high.value:
        message = f"its claims contradict each other: log Z ≥ {low.value!r} and log Z ≤ {high.value!r}"
        raise InputError("the certificate" if isinstance(source, Certificate) else source, None, message)
    return Answer(low, high)


def _digest(model: AbstractDiscreteModel) -> str:
    return model_digest(*model_parts(model))


def _itself(witness: Witness) -> Witness:
    return witness


def _claim(
    name: str, side: Side, away: float, model: AbstractDiscreteModel, written: dict[int, Witness | str | None]
) -> Claim | None:
    """The claim of one side, or None when it is statistical, unproved, or says nothing."""
    witness = side.witness
    if side.grounds in (Grounds.STATISTICAL, Grounds.NONE) or side.value == away:
        return None
    if witness is None and side.value == -math.inf:  # propagation of zeros alone is the proof
        witness = Decomposition(tuple(np.arange(size) for size in model.domains.tolist()), ())
    if witness is None:
        return None
    if id(witness) not in written:  # a function that writes it, or says why it cannot; sides may share one
        written[id(witness)] = witness() if callable(witness) else witness
    proof = written[id(witness)]
    if proof is None or isinstance(proof, str):
        return None
    claim = repr(math.nextafter(float(side.value), away)) if math.isfinite(side.value) else "-inf"
    return Claim(name, claim, side.method, proof)


def _row(claim: Claim, witness: str) -> dict[str, Any]:
    row = {"side": claim.side, "kind": claim.kind, "claim": claim.claim, "method": claim.method}
    return row | {"assumptions": [], "witness": witness}
