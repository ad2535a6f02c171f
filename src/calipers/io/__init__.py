"""Models in and out: `load` reads a file or a specification, `save` writes a file; the suffix says which kind.

Readers are imported when they are needed: an error message must not cost a second of imports.
"""

import difflib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from calipers.io.errors import InputError, SpecError

if TYPE_CHECKING:
    from calipers.core.model import AbstractDiscreteModel
    from calipers.models.ising import Ising

__all__ = ["InputError", "SpecError", "load", "save"]

_SUFFIXES = (".uai", ".uai.gz", ".npz", ".json")
_LIKE_A_SPEC = re.compile(r"[A-Za-z_]{2,}:[^/\\]*")


def load(
    model: str | os.PathLike[str],
    evidence: str | os.PathLike[str] | Mapping[int, int] | None = None,
    beta: float | None = None,
) -> "AbstractDiscreteModel":
    """Reads a model.

    **Arguments:** `model`, a specification (`square:16x16,T=2.269`: a known kind and a colon, and no file of that name)
    or a file, `.uai`, `.uai.gz`, `.npz` or a dimod `.json`; `evidence`, a file or a text like `"3=1,7=0"`; `beta`
    multiplies the model's own inverse temperature.

    **Raises:** `SpecError` for a malformed specification, evidence text or `beta`; `InputError` for a file that is
    missing, unreadable or not what it should be; `ImportError` that names the extra for `.json` without dimod.
    """
    from calipers.io.evidence import read_evidence
    from calipers.models.tempered import condition, tempered

    if beta is not None and not 0 <= beta < float("inf"):
        raise SpecError(f"beta is {beta}; expected a finite number, 0 or above")
    name = os.fspath(model)
    if not os.path.exists(name) and _is_spec(name):
        from calipers.io.spec import from_spec

        found: AbstractDiscreteModel = from_spec(name)
    else:
        found = _read_file(name)
    found = found if beta is None else tempered(found, beta)
    return condition(found, read_evidence(evidence, found.domains.tolist()) if evidence is not None else {})


def save(model: "AbstractDiscreteModel", path: str | os.PathLike[str]) -> None:
    """Writes a model; `.npz` and `.json` hold Ising magnets only, `.uai` anything.

    **Raises:** `SpecError` when the suffix is not known or cannot hold this model; `InputError` when the file cannot be
    written.
    """
    name = os.fspath(path)
    try:
        if _suffix(name) == ".uai":
            from calipers.io.uai import write_uai

            write_uai(model.factor_graph(), name)
        elif _suffix(name) == ".npz":
            from calipers.io.npz import write_npz

            write_npz(_as_magnet(model, name), name)
        elif _suffix(name) == ".json":
            from calipers.io.bqm import write_bqm

            write_bqm(_as_magnet(model, name), name)
        else:
            raise SpecError(f"{name}: expected a name that ends in .uai, .npz or .json")
    except OSError as error:
        raise InputError(name, None, f"cannot be written: {error.strerror or error}") from None


def _read_file(name: str) -> "AbstractDiscreteModel":
    suffix = _suffix(name)
    if suffix == ".npz":
        from calipers.io.npz import read_npz

        return read_npz(name)
    if suffix == ".json":
        from calipers.io.bqm import read_bqm

        return read_bqm(name)
    if not os.path.exists(name):
        raise InputError(name, None, "no such file (and not a specification such as square:16x16,T=2.269)")
    if suffix not in (".uai", ".uai.gz") and os.path.isfile(name):
        raise InputError(name, None, f"expected a file whose name ends in one of {', '.join(_SUFFIXES)}")
    from calipers.io.uai import read_uai

    return read_uai(name)


def _is_spec(text: str) -> bool:
    """Whether a text that names no file is a specification.

    **Raises:** `SpecError` when it looks like one of a kind that is not known.
    """
    from calipers.io.spec import is_spec
    from calipers.models.lattices import KINDS

    if is_spec(text):
        return True
    if _LIKE_A_SPEC.fullmatch(text) and not _suffix(text):
        kind = text.partition(":")[0]
        close = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SpecError(f"{text[:80]!r} is no file, and {kind!r} no kind of model ({', '.join(KINDS)}){hint}")
    return False


def _suffix(name: str) -> str:
    """The known suffix of a name, or ""."""
    return next((s for s in _SUFFIXES if name.lower().endswith(s)), "")


def _as_magnet(model: "AbstractDiscreteModel", name: str) -> "Ising":
    from calipers.models.ising import Ising

    if isinstance(model, Ising):
        return model
    try:
        return Ising.from_factor_graph(model.factor_graph())
    except ValueError as error:
        raise SpecError(f"{name}: {error}; a .uai file can hold it") from None
