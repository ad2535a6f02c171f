"""What a certificate needs from a bound: the free choices that were made, never a derived value.

All kinds speak of the model's own factors by number, after every variable has been restricted to `states` (evidence,
propagated zeros, clamping). What a witness does not say, a checker recomputes. docs/theorems.md proves every kind.

    Decomposition  upper, and both when no bucket is split     Theorems 2, 3    weighted mini-buckets
    Tangent        lower                                       Theorem 1        independent blocks
    Bethe          lower, binary log-supermodular models       Theorem 6        blocks, joined by pseudo-marginals
    Split          either, as its parts                        Theorem 5        a decision tree over the kinds above
    Search         both                                        Theorem 12       prefixes over one Decomposition
    LogDeterminant upper, of magnets                           Theorem 13       the diagonal of a quadratic form
    Formula        both, of an Ising model without evidence    Theorem 7        a formula for a uniform magnet
    Drawing        both, of a magnet with few or no fields     Theorems P2, P3  a drawing on a plane or a surface
"""

from typing import NamedTuple

import numpy as np


class Bucket(NamedTuple):
    """One mini-bucket: multiply everything in it, then eliminate `variable` by a power sum with `weight`.

    `factors` are numbers of model factors taken whole; `extra` are pairs (scope, log table) added to it; `parent` is
    the place, later in the list, of the bucket that receives the message; −1 if the message is a constant.
    """

    variable: int
    weight: float
    factors: tuple[int, ...]
    extra: tuple[tuple[tuple[int, ...], np.ndarray], ...]
    parent: int


class Decomposition(NamedTuple):
    """An upper bound: weighted mini-bucket elimination (one whole bucket a variable: exact elimination).

    `states[v]` are the kept states of variable v, ascending; states left out must be impossible by propagation of
    zeros and evidence. `buckets` stand in elimination order, those of one variable together.
    """

    states: tuple[np.ndarray, ...]
    buckets: tuple[Bucket, ...]


class Block(NamedTuple):
    """One independent part of a trial: its variables in elimination order, and extra log tables inside it."""

    order: tuple[int, ...]
    extra: tuple[tuple[tuple[int, ...], np.ndarray], ...]


class Tangent(NamedTuple):
    """A lower bound: the GBF bound of a trial that is independent between blocks.

    The trial of block b is ∝ exp(Σ of the model's factors inside b + Σ extra tables), on `states` (any restriction of
    the domains is allowed: it only loses mass). Variables with one kept state belong to no block.
    """

    states: tuple[np.ndarray, ...]
    blocks: tuple[Block, ...]


class Link(NamedTuple):
    """The pseudo-marginal b of a factor that is not part of a block's trial, by its covariances.

    Its variables lie in several blocks; a factor inside one block that has a link is left out of the block's trial.

    `covariance` is b(x) − Π_i b_i(x_i) over the factor's variables that keep two states, in the order of its scope,
    shape (2,) * k; b_i are the marginals of the blocks' trials. Of the table only the part that leaves every b_i
    unchanged counts, whatever rounding has added to it: Σ_S c_S Π_{i ∈ S} s_i over sets S of two or more variables,
    where s_i = ±1. So b is exactly consistent with b_i by construction; it must only be positive beyond doubt.
    """

    factor: int
    covariance: np.ndarray


class Bethe(NamedTuple):
    """A lower bound of a log-supermodular model with binary variables: the Bethe functional at its pseudo-marginals.

    `flips[v]` is 1 where the states of variable v are exchanged before f(x ∧ y) f(x ∨ y) ≥ f(x) f(y) is asked of
    every factor f (a magnet with couplings ≥ 0 needs no flips). `states` may be any restriction to one or two states.
    `blocks` are as in `Tangent`: the trials of regions. `links` belong to factors across blocks; the pseudo-marginal of
    one that has no link is the product of its b_i. The bound is that of the tangent with ⟨log f⟩ over factors across
    blocks taken under b, less the mutual information Σ b log (b / Π_i b_i).
    """

    states: tuple[np.ndarray, ...]
    flips: np.ndarray
    blocks: tuple[Block, ...]
    links: tuple[Link, ...]


LEAF, MISSING = -1, -2


class Split(NamedTuple):
    """log Σ_k exp(bound of part k): the parts are leaves of a decision tree over the states of variables.

    `tree` is the tree in preorder, one integer a node: v ≥ 0 branches on variable v, and is followed by one subtree for
    each of the states 0, 1, … of its domain; `LEAF` is a part; `MISSING` is a part left out, which costs a lower bound
    its mass, and which an upper bound may only do where evidence, zeros and the branches leave nothing by propagation.
    `part[k]` is the place in `witnesses` of the witness of leaf k, counted in preorder. It is read with its `states`
    narrowed to the branches that lead to the leaf (and its extra tables to these states), so many leaves can share one:
    a search or a cutset needs a single `Decomposition` for all of its leaves. The `states` of a witness must then
    contain what the branches say, or the leaf is empty.
    """

    tree: np.ndarray
    part: np.ndarray
    witnesses: tuple[Decomposition | Tangent | Bethe, ...]


STOP, BRANCH, DONE = 0, 1, 2


class Branches(NamedTuple):
    """A tree of prefixes over some variables, in the order in which they are assigned.

    `nodes` are its nodes level by level, the root first: `BRANCH` is followed on the next level by one node for each
    kept state, ascending; `STOP` is a prefix that is bounded; `DONE`, on the last level, a part that is summed exactly.
    `flips`, if not empty, are variables with two kept states whose exchange, all at once, leaves every factor as it is;
    the first variable is then assigned its first state only, and everything counts twice.
    """

    variables: np.ndarray
    nodes: np.ndarray
    flips: np.ndarray


class Search(NamedTuple):
    """A sum over parts of the state space: prefixes bounded by mini-buckets, and parts that are summed exactly.

    `bounds` are the mini-buckets; each of the `trees` assigns variables that contain, with each one, all later ones on
    which its buckets depend. The mass of a prefix is at most that of all times Π F_r / m_r over the buckets of its
    variables, F_r the product in the bucket and m_r its message. Where no bucket of a variable outside the trees is
    split, that is an equality at the end of a tree, and counts below too. `parts`, if there are any, is the elimination
    of everything outside the one tree: what a `DONE` is summed by.
    """

    bounds: Decomposition
    trees: tuple[Branches, ...]
    parts: Decomposition | None = None


class LogDeterminant(NamedTuple):
    """The log-determinant relaxation of a magnet at diag(λ) − J; `diagonal[v]` is λ of variable v.

    The model, on the kept `states`, is a magnet: two states a variable, two variables a factor, no zeros; variables
    with one state drop out, and their λ is not read.
    """

    states: tuple[np.ndarray, ...]
    diagonal: np.ndarray


class Formula(NamedTuple):
    """A closed form: `form` "complete" (every pair bound alike, every field alike) or "torus" (no field, one coupling
    along each axis), for which `sites`, shape (m, n), arranges the sites in rows; None for the former.
    """

    form: str
    sites: np.ndarray | None = None


class Drawing(NamedTuple):
    """A magnet drawn on a plane, or on a surface: its log Z by Pfaffians.

    `states` as in `Decomposition`, one or two of each variable. `edges` (m, 2) are drawn, between variables, or with
    the *ghost*, whose number is that of the variables: the field of i is the edge from i to it. The first edge of a
    pair carries its coupling, others carry none. Dart 2e leads from the first to the second end of edge e, 2e + 1 back;
    `rotation` (2m,) is the next dart around the site that a dart leaves. `order` is a tree of faces in reverse Polish
    notation: a dart names its face (the one that it belongs to in the orbits of h → rotation⁻¹(h ^ 1)), −1 merges
    the last two. `reference` holds a spin ±1 for each variable and the ghost. `extra` (k, 2) are edges that are not
    drawn but summed over, a factor of 2 each. What is neither drawn nor summed over costs its |coupling| on both sides.
    """

    states: tuple[np.ndarray, ...]
    edges: np.ndarray
    rotation: np.ndarray
    order: np.ndarray
    reference: np.ndarray
    extra: np.ndarray


Witness = Decomposition | Tangent | Bethe | Split | Search | LogDeterminant | Formula | Drawing
