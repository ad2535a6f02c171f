"""Random models, random witnesses: whatever the checker accepts lies on the right side of the sum over all states."""

import math

import forge
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calipers_check import check

SLACK = 1e-9  # of the float64 enumeration


class Case:
    """A small model of a random kind, with zeros, evidence and a temperature."""

    def __init__(self, seed: int):
        self.rng = rng = np.random.default_rng(seed)
        self.n = int(rng.integers(1, 6))
        self.beta = float(rng.choice([1.0, 0.0, 0.7, 2.0]))
        kind = rng.choice(["tables", "uai", "ising"])
        self.evidence: list = []
        getattr(self, "_" + kind)()
        self.log_z = forge.enumerate_log_z(self.sizes, self.scopes, self.logs, self.evidence, self.beta)

    def _shape(self):
        rng, n = self.rng, self.n
        self.sizes = [int(k) for k in rng.integers(1, 4, n)]
        self.scopes = [
            tuple(int(v) for v in rng.permutation(n)[: rng.integers(0, min(n, 3) + 1)])
            for _ in range(rng.integers(0, 7))
        ]
        observed = [v for v in range(n) if rng.random() < 0.2]
        self.evidence = [(v, int(rng.integers(self.sizes[v]))) for v in observed]

    def _tables(self):
        self._shape()
        self.logs = [self.rng.normal(size=[self.sizes[v] for v in s], scale=2) for s in self.scopes]
        self.logs = [np.where(self.rng.random(t.shape) < 0.15, -np.inf, t) for t in self.logs]
        self.model = forge.tables_model(self.sizes, self.scopes, self.logs, self.evidence, self.beta)

    def _uai(self):
        self._shape()
        words = ["MARKOV", self.n, *self.sizes, len(self.scopes)]
        for scope in self.scopes:
            words += [len(scope), *scope]
        self.logs = []
        for scope in self.scopes:
            shape = [self.sizes[v] for v in scope]
            entries = [
                str(self.rng.choice(["0", "0.0", "1e-3", ".5", "1.", "2.25E0", "0.1", "30"]))
                for _ in range(math.prod(shape))
            ]
            words += [len(entries), *entries]
            with np.errstate(divide="ignore"):
                self.logs.append(np.log(np.array(entries, float)).reshape(shape))
        self.model = forge.uai_model(" ".join(map(str, words)), self.evidence, self.beta)

    def _ising(self):
        rng, n = self.rng, self.n
        self.sizes = [2] * n
        edges = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.6]
        couplings, fields, offset = rng.normal(size=len(edges)), rng.normal(size=n), float(rng.choice([0.0, 1.5]))
        self.scopes = [*edges, *((i,) for i in range(n)), *([()] if offset else [])]
        spin = np.array([1.0, -1.0])
        self.logs = [J * np.outer(spin, spin) for J in couplings] + [H * spin for H in fields]
        self.logs += [np.array(-offset)] if offset else []
        self.model = forge.ising_model(edges, couplings, fields, self.beta, offset)

    def full(self):
        return [list(range(k)) for k in self.sizes]

    def subset(self):
        """Some states of each variable that agree with the evidence."""
        kept = [sorted(self.rng.permutation(k)[: self.rng.integers(1, k + 1)].tolist()) for k in self.sizes]
        for v, state in self.evidence:
            kept[v] = [state]
        return kept


def proved(tmp, case, side, kind, witness):
    claim = "inf" if side == "upper" else "-inf"
    verdict = check(forge.seal(tmp / "a.cert", *forge.draft(case.model, (side, kind, claim, witness))))
    assert verdict.accepted, verdict.reason
    return verdict.claims[0].proved


def exact_witness(case, kept):
    """Bucket elimination in a random order."""
    order = case.rng.permutation(case.n).tolist()
    rank = {v: place for place, v in enumerate(order)}
    pending = [
        [(set(s), a) for a, s in enumerate(case.scopes) if s and min(rank[v] for v in s) == place]
        for place in range(case.n)
    ]
    buckets = []
    for place, v in enumerate(order):
        scope = set().union(*(s for s, _ in pending[place])) - {v}
        parent = min((rank[u] for u in scope), default=-1)
        if parent >= 0:
            pending[parent].append((scope, None))
        buckets.append((v, 1.0, [a for _, a in pending[place] if a is not None], [], parent))
    return forge.decomposition(kept, buckets)


def split_witness(case, kept):
    """Mini-buckets: everything at random, some factors left out, shares that add up to zero or nearly so."""
    rng, n = case.rng, case.n
    order = rng.permutation(n).tolist()
    rank = {v: place for place, v in enumerate(order)}
    pending = [
        [
            (set(s), a, None)
            for a, s in enumerate(case.scopes)
            if s and min(rank[v] for v in s) == place and rng.random() < 0.9
        ]
        for place in range(n)
    ]
    rows, parents = [], {}
    for place, v in enumerate(order):
        count = int(rng.integers(1, 4))
        homes = rng.integers(0, count, len(pending[place]))
        shares = rng.normal(size=(count, len(kept[v])))
        shares[-1] -= shares.sum(axis=0) * rng.choice([0.0, 1.0, 1.0, 1.0])
        weights = rng.random(count) ** 3 + 1e-3
        weights /= weights.sum() * rng.choice([1.0, 1.0, 0.5, 3.0])
        for r in range(count):
            members = [item for item, home in zip(pending[place], homes, strict=True) if home == r]
            here = len(rows)
            parents.update({source: here for _, _, source in members if source is not None})
            scope = set().union(*(s for s, _, _ in members)) - {v}
            if scope:
                pending[min(rank[u] for u in scope)].append((scope, None, here))
            rows.append([v, float(weights[r]), [a for _, a, _ in members if a is not None], [((v,), shares[r])]])
    return forge.decomposition(kept, [(*row, parents.get(place, -1)) for place, row in enumerate(rows)])


def trial_witness(case, kept):
    """Random blocks, orders and extra tables."""
    rng, n = case.rng, case.n
    home = rng.integers(0, max(1, n // 2) + 1, n)
    blocks = []
    for b in set(home.tolist()):
        members = [v for v in rng.permutation(n).tolist() if home[v] == b]
        if len(members) == 1 and rng.random() < 0.3:
            continue
        extra = []
        for _ in range(rng.integers(0, 4)):
            scope = rng.permutation(members)[: rng.integers(0, 3)].tolist()
            table = rng.normal(size=[len(kept[v]) for v in scope])
            extra.append((scope, np.where(rng.random(table.shape) < 0.1, -np.inf, table)))
        blocks.append((members, extra))
    return forge.tangent(kept, blocks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("random")


many = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)


@many
@given(seeds)
def test_exact_elimination_encloses(folder, seed):
    case = Case(seed)
    witness = exact_witness(case, case.full())
    high = proved(folder, case, "upper", "decomposition", witness)
    if any(len(kept) != size for kept, size in zip(case.subset(), case.sizes, strict=True)) or case.evidence:
        low = proved(folder, case, "lower", "decomposition", exact_witness(case, case.subset()))
        assert low <= case.log_z + SLACK
        assert high >= case.log_z - SLACK
    else:
        low = proved(folder, case, "lower", "decomposition", witness)
        assert low == high == case.log_z or (low <= high and max(abs(low - case.log_z), abs(high - case.log_z)) < SLACK)


@many
@given(seeds)
def test_evidence_as_restriction_is_exact(folder, seed):
    case = Case(seed)
    kept = case.full()
    for v, state in case.evidence:
        kept[v] = [state]
    witness = exact_witness(case, kept)
    low, high = (proved(folder, case, side, "decomposition", witness) for side in ("lower", "upper"))
    assert low == high == case.log_z or max(abs(low - case.log_z), abs(high - case.log_z)) < SLACK


@many
@given(seeds)
def test_mini_buckets_stay_above(folder, seed):
    case = Case(seed)
    assert proved(folder, case, "upper", "decomposition", split_witness(case, case.full())) >= case.log_z - SLACK


@many
@given(seeds)
def test_tangents_stay_below(folder, seed):
    case = Case(seed)
    assert proved(folder, case, "lower", "tangent", trial_witness(case, case.subset())) <= case.log_z + SLACK


@many
@given(seeds)
def test_one_block_without_extras_is_exact(folder, seed):
    case = Case(seed)
    kept = case.full()
    for v, state in case.evidence:
        kept[v] = [state]
    witness = forge.tangent(kept, [(case.rng.permutation(case.n).tolist(), [])])
    low = proved(folder, case, "lower", "tangent", witness)
    assert low == case.log_z or abs(low - case.log_z) < SLACK


@many
@given(
    seeds,
    st.integers(0, 2**16),
    st.sampled_from([-(2**63), -1, 0, 1, 2, 7, 2**31, 2**62, math.nan, math.inf, -math.inf, 1e300]),
)
def test_any_changed_number_is_refused_or_still_true(folder, seed, place, value):
    """One entry of one array replaced, everything hashed anew: no crash, and no false bound."""
    case = Case(seed)
    side, kind = ("upper", "decomposition") if seed % 2 else ("lower", "tangent")
    witness = split_witness(case, case.full()) if seed % 2 else trial_witness(case, case.subset())
    names = sorted(name for name, array in witness.items() if array.size)
    name = names[place % len(names)]
    array = witness[name] = witness[name].copy()
    array[place % len(array)] = (
        value if array.dtype == np.float64 or (math.isfinite(value) and abs(value) < 2**63) else -1
    )
    claim = "inf" if side == "upper" else "-inf"
    verdict = check(forge.seal(folder / "a.cert", *forge.draft(case.model, (side, kind, claim, witness))))
    if verdict.accepted:
        bound = verdict.claims[0].proved
        assert bound >= case.log_z - SLACK if side == "upper" else bound <= case.log_z + SLACK


@many
@given(
    seeds, st.integers(0, 2**16), st.sampled_from([-(2**63), -1, 0, 1, 3, 2**40, math.nan, math.inf, -math.inf, 1e308])
)
def test_any_changed_model_does_not_crash(folder, seed, place, value):
    case = Case(seed)
    kind, parts = case.model
    names = sorted(name for name, array in parts.items() if array.size)
    name = names[place % len(names)]
    array = parts[name].copy()
    if array.dtype == np.uint8:
        array[place % len(array)] = place % 251
    else:
        finite = math.isfinite(value) and abs(value) < 2**63
        array[place % len(array)] = value if array.dtype == np.float64 or finite else -1
    witness = exact_witness(case, case.full())
    header, arrays = forge.draft((kind, parts | {name: array}), ("upper", "decomposition", "inf", witness))
    check(forge.seal(folder / "a.cert", header, arrays))
