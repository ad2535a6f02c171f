"""A method as text: `auto`, `MeanField()`, `Clamping(leaf=MiniBucket(8))`, the `repr` that methods print.

Nothing is evaluated: the text is parsed, and only calls of the public methods with literal arguments are followed.
"""

import ast
import dataclasses
import difflib
import importlib
from collections.abc import Iterable
from typing import Any

import typer

from calipers.catalogue import METHODS

SAMPLERS = {
    "Metropolis": "calipers.sampling.local",
    "HeatBath": "calipers.sampling.local",
    "Gibbs": "calipers.sampling.gibbs",
    "BlockGibbs": "calipers.sampling.block_gibbs",
    "SwendsenWang": "calipers.sampling.cluster",
    "Wolff": "calipers.sampling.cluster",
    "ParallelTempering": "calipers.sampling.tempering",
    "Multispin": "calipers.sampling.multispin",
    "ShardedMultispin": "calipers.sampling.sharded",
    "MultispinReplicas": "calipers.sampling.replicas",
    "PerfectSampling": "calipers.sampling.perfect",
}
_LONGEST = 2000  # characters; deeper nesting than that holds means nothing and would exhaust the parser


def parse_sampler(text: str) -> Any:
    """The same for what can sample: Markov kernels and perfect sampling too."""
    named = next((k for k in SAMPLERS if _plain(text).partition("(")[0] == _plain(k)), None)
    if named is None:
        return parse_method(text)
    try:
        tree: ast.expr | None = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None if "(" in text else ast.Name(named)  # a bare name may have hyphens
    if isinstance(tree, ast.Name | ast.BinOp) and "(" not in text:
        return _construct(named, [], {})
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)) or any(
        k.arg is None for k in tree.keywords
    ):
        raise _bad(f"{text[:80]!r} is not a sampler")
    return _construct(named, [_literal(a) for a in tree.args], {str(k.arg): _literal(k.value) for k in tree.keywords})


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise _bad(f"{ast.unparse(node)!r} is not a literal") from None


def parse_method(text: str) -> Any:
    """The method that `text` spells.

    **Arguments:** `text`, a constructor call with keyword or positional literals, nested methods allowed; a bare name
    stands for the call without arguments, whatever its case, with or without hyphens (`mean-field`).

    **Raises:** `typer.BadParameter` saying what came and what was expected.
    """
    if len(text) > _LONGEST:
        raise _bad(f"{len(text)} characters are too many for a method")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _bad(f"{text!r} is not a method") from None
    if isinstance(tree, ast.Call):
        return _build(tree, text)
    return _construct(_named(text), [], {})


def _build(node: ast.expr, text: str, inner: bool = False) -> Any:
    """The value of the whole, or of one argument, which may be a kernel too."""
    if isinstance(node, ast.Name):
        return _construct(_named(node.id, METHODS | SAMPLERS if inner else METHODS), [], {})
    if not isinstance(node, ast.Call):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError):
            raise _bad(f"{ast.unparse(node)!r} is neither a literal nor a method") from None
    if not isinstance(node.func, ast.Name):
        raise _bad(f"{ast.unparse(node.func)!r} is not a method")
    name = _named(node.func.id, METHODS | SAMPLERS if inner else METHODS)
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        raise _bad(f"{text!r} unpacks arguments; spell them out")
    keywords = {str(k.arg): _build(k.value, text, True) for k in node.keywords}
    return _construct(name, [_build(a, text, True) for a in node.args], keywords)


def _construct(name: str, args: list[Any], keywords: dict[str, Any]) -> Any:
    try:
        method = getattr(importlib.import_module((METHODS | SAMPLERS)[name]), name)(*args, **keywords)
    except (TypeError, ValueError) as error:
        raise _bad(f"{name}: {error}") from None
    for field in dataclasses.fields(method):
        _check_type(name, field, getattr(method, field.name))
    return method


def _check_type(name: str, field: Any, value: Any) -> None:
    """A hyper-parameter of a plain type must have it; an integer will do for a float."""
    expected = {"int": int, "float": (int, float), "bool": bool, "str": str}
    kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    mistaken = isinstance(value, bool) and kind in ("int", "float")
    if kind in expected and (mistaken or not isinstance(value, expected[kind])):  # type: ignore[arg-type]
        raise _bad(f"{name}: {field.name} is {value!r}; expected {kind}")


def _named(text: str, known: Iterable[str] = METHODS) -> str:
    """The public method that is meant."""
    for name in known:
        if _plain(name) == _plain(text):
            return name
    near = difflib.get_close_matches(text, METHODS, 1)
    raise _bad(f"{text!r} is not a method" + (f" (did you mean {near[0]}?)" if near else ""))


def _plain(text: str) -> str:
    return text.strip().lower().replace("-", "").replace("_", "")


def _bad(message: str) -> typer.BadParameter:
    return typer.BadParameter(f"{message}; methods: auto, {', '.join(METHODS)}", param_hint="--method")
