"""Ising magnets: spins on the sites of any weighted graph.

    E(s) = −Σ_{(i,j)} J_ij s_i s_j − Σ_i H_i s_i + offset,   s_i = ±1,   weight exp(−βE),   k_B = 1, β = 1/T

Each edge counts once. State 0 is spin +1, state 1 is spin −1. −β·offset joins log Z.
Everything is in arrays: 10⁶ spins of a square lattice are built in about half a second.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from calipers.core.method import Refusal
from calipers.core.model import AbstractContinuousModel, AbstractDiscreteModel, AbstractModel
from calipers.models import foreign
from calipers.models.edges import canonical, check_canonical
from calipers.models.factor_graph import FactorGraph
from calipers.models.lattices import Lattice, bonds, make_lattice
from calipers.models.laws import Law, draw
from calipers.models.pairwise import pairwise_parameters
from calipers.models.spins import checked_spins, to_spins

Values = float | str | Law | np.ndarray


class Ising(AbstractDiscreteModel):
    """A magnet. The constructors below bring arrays into the form that is asked here.

    **Arguments:** `edges`, int64 (e, 2), i < j, in lexicographic order, each once; `couplings` J, (e,); `fields` H,
    (n,); `beta` ≥ 0; `offset`, an energy; `lattice`, how it was made, if it is one; `labels`, the names of the sites.

    **Raises:** `ValueError` when arrays are not as said, a number is not finite, or energies overflow float64.
    """

    edges: np.ndarray
    couplings: np.ndarray
    fields: np.ndarray
    beta: float = 1.0
    offset: float = 0.0
    lattice: Lattice | None = eqx.field(static=True, default=None)
    labels: tuple[Hashable, ...] | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        n, e = np.size(self.fields), len(self.edges)
        if np.shape(self.fields) != (n,) or np.shape(self.edges) != (e, 2) or np.shape(self.couplings) != (e,):
            shapes = [np.shape(a) for a in (self.edges, self.couplings, self.fields)]
            raise ValueError(f"edges, couplings, fields have shapes {shapes}; they need (e, 2), (e,), (n,)")
        check_canonical(self.edges, n)
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta is {self.beta}; it must be finite and not negative")
        with np.errstate(over="ignore", invalid="ignore"):
            most = np.abs(self.couplings).sum() + np.abs(self.fields).sum() + abs(self.offset)
            if not math.isfinite(most * max(self.beta, 1.0)):
                raise ValueError("couplings, fields and offset must be finite, and so must their sum times beta")
        if self.labels is not None and not len(set(self.labels)) == len(self.labels) == n:
            raise ValueError(f"there are {len(self.labels)} labels, for {n} sites; each site needs a label of its own")

    # ---- how magnets are made ------------------------------------------------------------------------------------

    @classmethod
    def from_arrays(
        cls,
        edges: np.ndarray,
        couplings: float | np.ndarray = 1.0,
        fields: float | np.ndarray = 0.0,
        beta: float = 1.0,
        offset: float = 0.0,
        labels: Sequence[Hashable] | None = None,
        *,
        n: int | None = None,
        lattice: Lattice | None = None,
    ) -> "Ising":
        """A magnet on any weighted graph; repeated edges, in either direction, add up.

        **Arguments:** `edges`, integers (e, 2); `couplings` (e,) or one number; `fields` (n,) or one number; `n`,
        sites, needed only when neither `fields` nor `labels` nor the largest end of an edge tells.

        **Raises:** `ValueError` for loops, wrong shapes and numbers that are not finite.
        """
        h = np.asarray(fields)
        if h.dtype.kind not in "iuf" or h.ndim > 1:
            raise ValueError(f"fields are numbers of shape (n,), but {h.dtype} of shape {h.shape} came")
        told = [len(h)] if h.ndim else [len(labels)] if labels is not None else []
        sites = n if n is not None else told[0] if told else int(np.max(edges)) + 1 if np.size(edges) else 0
        if h.ndim and len(h) != sites:
            raise ValueError(f"fields have shape {h.shape}; {sites} sites need ({sites},)")
        pairs, weights = canonical(edges, couplings, sites)
        h = np.array(np.broadcast_to(h, (sites,)), np.float64)
        return cls(pairs, weights, h, float(beta), float(offset), lattice, None if labels is None else tuple(labels))

    @classmethod
    def on(
        cls,
        kind: str,
        shape: int | Sequence[int],
        *,
        coupling: Values = 1.0,
        field: Values = 0.0,
        beta: float = 1.0,
        periodic: bool = True,
        seed: int = 0,
        degree: int = 0,
    ) -> "Ising":
        """A magnet on a lattice or random graph of `calipers.models.lattices`, named by `kind`.

        **Arguments:** `shape`, the sides; `coupling`, `field`: a number, a law ("pm1", "gauss:0.5"), or an array, one
        value a bond (in the order of `lattices.bonds`) or a site; `seed` of the laws and of the graph.

        **Raises:** `ValueError` for what cannot be, and for what would not fit in memory, before it is allocated.
        """
        made = make_lattice(kind, shape, periodic=periodic, coupling=coupling, field=field, seed=seed, degree=degree)
        rng = np.random.default_rng(made.seed)
        pairs = bonds(made, rng)
        couplings = draw(made.coupling if kind == "sk" else coupling, len(pairs), rng, "couplings")
        fields = draw(field, made.n, rng, "fields")
        return cls.from_arrays(pairs, couplings, fields, beta, lattice=made)

    @classmethod
    def chain(cls, n: int, **options: Any) -> "Ising":
        """A ring of `n` spins (open: a chain); options as for `on`."""
        return cls.on("chain", n, **options)

    @classmethod
    def square(cls, shape: int | Sequence[int], **options: Any) -> "Ising":
        """A square lattice, (Lx, Ly) or L; options as for `on`."""
        return cls.on("square", shape, **options)

    @classmethod
    def triangular(cls, shape: int | Sequence[int], **options: Any) -> "Ising":
        """A triangular lattice, (Lx, Ly) or L: the square lattice with one diagonal; options as for `on`."""
        return cls.on("triangular", shape, **options)

    @classmethod
    def honeycomb(cls, shape: int | Sequence[int], **options: Any) -> "Ising":
        """A honeycomb of (Lx, Ly) or L×L cells of two spins; options as for `on`."""
        return cls.on("honeycomb", shape, **options)

    @classmethod
    def cubic(cls, shape: int | Sequence[int], **options: Any) -> "Ising":
        """A simple cubic lattice, (Lx, Ly, Lz) or L; options as for `on`."""
        return cls.on("cubic", shape, **options)

    @classmethod
    def hypercubic(cls, *shape: int, **options: Any) -> "Ising":
        """A hypercubic lattice of any dimension; options as for `on`."""
        return cls.on("hypercubic", shape, **options)

    @classmethod
    def complete(cls, n: int, **options: Any) -> "Ising":
        """Every pair of `n` spins is bound; the coupling is not divided by n; options as for `on`."""
        return cls.on("complete", n, **options)

    @classmethod
    def sherrington_kirkpatrick(cls, n: int, beta: float = 1.0, seed: int = 0, field: Values = 0.0) -> "Ising":
        """Every pair of `n` spins is bound, J_ij ~ N(0, 1/n)."""
        return cls.on("sk", n, beta=beta, seed=seed, field=field)

    @classmethod
    def random_regular(cls, degree: int, n: int, **options: Any) -> "Ising":
        """A random graph on which every one of `n` spins has `degree` neighbours; options as for `on`."""
        return cls.on("regular", n, degree=degree, **options)

    @classmethod
    def from_networkx(
        cls, graph: Any, *, coupling: str = "coupling", field: str = "field", beta: float | None = None
    ) -> "Ising":
        """A magnet on an undirected networkx graph; the nodes become labels, parallel edges add up.

        **Arguments:** `coupling`, `field`, names of the attributes of edges and nodes (absent: J = 1, H = 0); `beta`,
        None takes the graph's own attribute "beta", or 1. The graph's attribute "offset" is read too.

        **Raises:** `ValueError` for directed graphs, loops, and attributes that are not numbers.
        """
        return cls.from_arrays(**foreign.networkx_arrays(graph, coupling, field, beta))

    @classmethod
    def from_bqm(cls, bqm: Any, beta: float = 1.0) -> "Ising":
        """The magnet of a dimod binary quadratic model, E = Σh s + ΣJ s s + offset: J and h change sign here.

        A binary variable x is the spin s = 2x − 1. Labels are kept.
        """
        return cls.from_arrays(**foreign.bqm_arrays(bqm), beta=beta)

    @classmethod
    def from_factor_graph(cls, graph: FactorGraph) -> "Ising":
        """The same measure as a magnet at β = 1.

        **Raises:** `ValueError` when it is not one: a variable that is not binary, more than two in a factor, a zero,
        or evidence.
        """
        found = pairwise_parameters(graph)
        if isinstance(found, str):
            raise ValueError(f"this factor graph is no Ising magnet: {found}")
        return cls.from_arrays(found.edges, found.couplings, found.fields, offset=found.offset)

    # ---- what a magnet is ----------------------------------------------------------------------------------------

    @property
    def domains(self) -> np.ndarray:
        """Two states a site, shape (n,)."""
        return np.full(len(self.fields), 2, np.int64)

    @property
    def e(self) -> int:
        """Number of edges."""
        return len(self.edges)

    @property
    def temperature(self) -> float:
        """T = 1/β; infinite at β = 0."""
        return 1.0 / self.beta if self.beta else math.inf

    def energy(self, spins: Any) -> Any:
        """E(s) of spins ±1, shape (..., n): one energy a configuration. Takes jax arrays too, which are not checked."""
        s = checked_spins(spins, len(self.fields))
        pairs = s[..., self.edges[:, 0]] * s[..., self.edges[:, 1]]
        return self.offset - pairs @ self.couplings - s @ self.fields

    def magnetization(self, spins: Any) -> Any:
        """Σ_i s_i of spins ±1, shape (..., n); the total, not per site."""
        return checked_spins(spins, len(self.fields)).sum(-1)

    def log_weight(self, x: Any) -> Any:
        """−βE of one configuration of states 0 (up) and 1 (down), shape (n,)."""
        if np.shape(x) != np.shape(self.fields):
            raise ValueError(f"a configuration of this model has shape {np.shape(self.fields)}, not {np.shape(x)}")
        return -self.beta * self.energy(to_spins(x))

    def factor_graph(self) -> FactorGraph:
        """The edges' tables βJ s s' in order, then a unary βH s for each site, then −βoffset if it is not zero."""
        pairs = (self.beta * self.couplings)[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
        unary = (self.beta * self.fields)[:, None] * np.array([1.0, -1.0])
        constant = [np.array(-self.beta * self.offset)] if self.offset else []
        n = len(self.fields)
        scopes = (*zip(*self.edges.T.tolist(), strict=True), *((i,) for i in range(n)), *(() for _ in constant))
        return FactorGraph((2,) * n, scopes, (*pairs, *unary, *constant))

    def tempered(self, beta: float) -> "Ising":
        """The same magnet with `beta` times its inverse temperature."""
        hot = float(beta) * self.beta
        return Ising(self.edges, self.couplings, self.fields, hot, self.offset, self.lattice, self.labels)

    def condition(self, evidence: Mapping[int, int]) -> FactorGraph:
        """The same measure restricted to configurations that agree with `evidence`, {site: state}."""
        return self.factor_graph().condition(evidence)

    def to_networkx(self) -> Any:
        """A networkx graph with attributes `coupling`, `field`, and the graph's own `beta` and `offset`.

        **Raises:** `ImportError` naming the extra when networkx is not installed.
        """
        return foreign.networkx_graph(self.edges, self.couplings, self.fields, self.labels, self.beta, self.offset)

    def to_bqm(self) -> Any:
        """A dimod model of E, spins, offset and labels; β is not part of it.

        **Raises:** `ImportError` naming the extra when dimod is not installed.
        """
        return foreign.bqm_object(self.edges, self.couplings, self.fields, self.labels, self.offset)

    def describe(self) -> dict[str, Any]:
        """Sizes, temperature, and for a lattice the choices that made it, as plain numbers and strings."""
        facts: dict[str, Any] = {"kind": "graph", "n": len(self.fields), "e": self.e, "beta": self.beta}
        facts["T"] = self.temperature
        if self.offset:
            facts["offset"] = self.offset
        if self.lattice is not None:
            made = self.lattice._asdict()
            facts |= {key: value for key, value in made.items() if key != "degree" or self.lattice.kind == "regular"}
            facts["spec"] = None if self.offset else self.lattice.spec(self.beta)
        return facts


def require_magnet(model: AbstractModel, otherwise: str) -> Ising:
    """`model`, if it is an Ising magnet.

    **Raises:** `Refusal` when it is not: in the words of `otherwise` if it is discrete at all.
    """
    if isinstance(model, AbstractContinuousModel):
        model.factor_graph()
    if not isinstance(model, Ising):
        raise Refusal(otherwise)
    return model
