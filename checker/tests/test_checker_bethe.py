"""Bethe functionals: below the sum over all states for log-supermodular models, and refused for any other."""

import itertools
import math

import forge
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_checker_forgeries import proved, reason
from test_checker_random import SLACK, folder, many, seeds  # noqa: F401 (a fixture)

from calipers_check import check

N, EDGES = 6, [(0, 1), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (4, 5)]  # 2 × 3 open
COUPLINGS, FIELDS, BETA = np.array([0.5, 0.3, 0.8, 0.4, 0.6, 0.2, 0.7]), np.array([0.1, 0, -0.3, 0.2, 0, 0.1]), 0.9
KEPT = [[0, 1]] * N
BLOCKS = [([0, 1, 2], []), ([3, 4, 5], [((4,), [0.1, -0.1])])]  # the rows
RUNGS = [1, 3, 4]  # edges across
SPIN = np.array([1.0, -1.0])


def magnet(couplings=COUPLINGS, edges=EDGES, beta=BETA):
    return forge.ising_model(edges, couplings, FIELDS, beta)


def logs(couplings=COUPLINGS, edges=EDGES):
    scopes = [*edges, *((i,) for i in range(N))]
    return scopes, [J * np.outer(SPIN, SPIN) for J in couplings] + [h * SPIN for h in FIELDS]


def log_z():
    scopes, tables = logs()
    return forge.enumerate_log_z([2] * N, scopes, tables, (), BETA)


LOG_Z = log_z()


def row_distribution(order, extra):
    """The trial of one row over its three spins, by enumeration, and log Z_b − ⟨extra⟩."""
    scopes, tables = logs()
    value, mean = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    for x in itertools.product((0, 1), repeat=3):
        state = dict(zip(order, x, strict=True))
        value[x] = BETA * sum(
            t[tuple(state[v] for v in s)] for s, t in zip(scopes, tables, strict=True) if set(s) <= {*order}
        )
        mean[x] = sum(t[state[s[0]]] for s, t in extra)
    weight = np.exp(value + mean)
    q = weight / weight.sum()
    return q, math.log(weight.sum()) - (q * mean).sum()


def functional(covariances):
    """The Bethe functional in float64, straight from its formula."""
    total, b = 0.0, {}
    for order, extra in BLOCKS:
        q, value = row_distribution(order, extra)
        total += value
        for axis, v in enumerate(order):
            b[v] = q.sum(axis=tuple(k for k in range(3) if k != axis))
    for a, c in covariances.items():
        i, j = EDGES[a]
        free = np.outer(b[i], b[j])
        pair = free + c * np.outer(SPIN, SPIN)
        total += (pair * (BETA * COUPLINGS[a] * np.outer(SPIN, SPIN) - np.log(pair / free))).sum()
    return total


def witness(covariances, flips=(0,) * N, kept=KEPT, blocks=BLOCKS):
    return forge.bethe(kept, flips, blocks, [(a, c * np.outer(SPIN, SPIN)) for a, c in covariances.items()])


GOOD = {1: 0.05, 3: 0.06, 4: 0.03}


def test_it_is_the_functional(tmp_path):
    low = proved("lower", "bethe", witness(GOOD), magnet(), folder=tmp_path)
    assert low == pytest.approx(functional(GOOD), abs=1e-12)
    assert low <= LOG_Z
    assert low > proved("lower", "tangent", forge.tangent(KEPT, BLOCKS), magnet(), folder=tmp_path) + 0.01


def test_without_links_it_is_the_tangent(tmp_path):
    """Each edge across has one end in each block, so that independence is the same."""
    low = proved("lower", "bethe", witness({}), magnet(), folder=tmp_path)
    assert low == pytest.approx(functional(dict.fromkeys(RUNGS, 0.0)), abs=1e-12)
    assert low == proved("lower", "tangent", forge.tangent(KEPT, BLOCKS), magnet(), folder=tmp_path)


@pytest.mark.parametrize("nudge", [1e-13, 1e-6, 1.0])
def test_tightened_claims(tmp_path, nudge):
    low = proved("lower", "bethe", witness(GOOD), magnet(), folder=tmp_path)
    assert "does not follow" in reason(tmp_path, ("lower", "bethe", repr(low + nudge), witness(GOOD)), m=magnet())
    assert "from below only" in reason(tmp_path, ("upper", "bethe", "99", witness(GOOD)), m=magnet())


def test_inconsistent_tables_are_made_consistent(tmp_path):
    """Whatever would change a marginal, one unit in the last place or all of it, is taken away before it counts."""
    honest = proved("lower", "bethe", witness(GOOD), magnet(), folder=tmp_path)
    for lie in ([1e-17, 0, 0, 0], [0.3, 0.3, -0.3, -0.3], [5.0, 1.0, 3.0, -1.0], [7.0, 7.0, 7.0, 7.0]):
        changed = witness(GOOD)
        changed["covariance"] = changed["covariance"].copy()
        changed["covariance"][:4] += lie
        inside = np.array(lie) @ [1, -1, -1, 1] / 4
        other = proved("lower", "bethe", changed, magnet(), folder=tmp_path)
        assert other == pytest.approx(functional(GOOD | {1: 0.05 + inside}), abs=1e-12)
        assert other < LOG_Z
        assert abs(other - honest) < 1e-15 or inside


@pytest.mark.parametrize("c", [0.4, -0.4, 1e300, -1e300])
def test_negative_pseudo_marginals(tmp_path, c):
    assert "not certainly positive" in reason(tmp_path, ("lower", "bethe", "-99", witness({1: c})), m=magnet())


@pytest.mark.parametrize("c", [np.nan, np.inf])
def test_covariances_that_are_no_numbers(tmp_path, c):
    bad = witness(GOOD)
    bad["covariance"] = np.where(np.arange(12) == 5, c, bad["covariance"])
    assert "finite" in reason(tmp_path, ("lower", "bethe", "-99", bad), m=magnet())


def test_antiferromagnets_are_refused(tmp_path):
    for a in range(len(EDGES)):
        other = COUPLINGS.copy()
        other[a] = -1e-300
        said = reason(tmp_path, ("lower", "bethe", "-99", witness({})), m=magnet(other))
        assert "not log-supermodular" in said
        assert f"factor {a} " in said
    zero = COUPLINGS.copy()
    zero[2] = -0.0
    assert proved("lower", "bethe", witness({}), magnet(zero), folder=tmp_path) < LOG_Z
    assert "not log-supermodular" in reason(tmp_path, ("lower", "bethe", "-99", witness({})), m=magnet(beta=-0.5))


def test_a_frustrated_magnet_would_be_wrong(tmp_path):
    """What the refusal is for: on a frustrated ring the functional lies above log Z."""
    edges, couplings = [(0, 1), (0, 2), (1, 2)], [1.0, 1.0, -1.0]
    model = forge.ising_model(edges, couplings, np.zeros(3))
    scopes, tables = edges, [J * np.outer(SPIN, SPIN) for J in couplings]
    exact = forge.enumerate_log_z([2] * 3, scopes, tables)
    pair = [0.25 * np.tanh(2 * J) * np.outer(SPIN, SPIN) for J in couplings]
    value = 3 * math.log(2) + sum(
        ((0.25 + p) * (t - np.log(4 * (0.25 + p)))).sum() for p, t in zip(pair, tables, strict=True)
    )
    assert value > exact + 0.1
    for flips in itertools.product((0, 1), repeat=3):
        forged = forge.bethe([[0, 1]] * 3, flips, [], list(enumerate(pair)))
        assert "not log-supermodular" in reason(
            tmp_path, ("lower", "bethe", repr(float(value - 1e-9)), forged), m=model
        )


def test_the_gauge(tmp_path):
    """Exchange some spins' states: the same bound with the right flips, none with others."""
    flips = [1, 0, 1, 1, 0, 0]
    sign = [1 - 2 * (flips[i] ^ flips[j]) for i, j in EDGES]
    field = FIELDS * [1 - 2 * f for f in flips]
    model = forge.ising_model(EDGES, COUPLINGS * sign, field, BETA)
    blocks = [(order, [((v,), np.array(t) * (1 - 2 * flips[v])) for (v,), t in extra]) for order, extra in BLOCKS]
    good = {a: c * sign[a] for a, c in GOOD.items()}
    low = proved("lower", "bethe", witness(good, flips, blocks=blocks), model, folder=tmp_path)
    assert low == pytest.approx(functional(GOOD), abs=1e-12)
    for v in range(N):
        wrong = [f ^ (u == v) for u, f in enumerate(flips)]
        forged = witness(good, wrong, blocks=blocks)
        assert "not log-supermodular" in reason(tmp_path, ("lower", "bethe", "-99", forged), m=model)
    for wrong in ([2] * N, [-1] * N, flips[1:], [*flips, 0]):
        assert "flips" in reason(tmp_path, ("lower", "bethe", "-99", witness(good, wrong, blocks=blocks)), m=model)


def test_more_than_two_states(tmp_path):
    model = forge.tables_model([3, 2], [(0, 1)], [np.eye(3, 2)])
    forged = forge.bethe([[0, 1, 2], [0, 1]], [0, 0], [], [])
    assert "with two" in reason(tmp_path, ("lower", "bethe", "-99", forged), m=model)
    free = forge.tables_model([3, 2], [(0, 1), (1,)], [np.zeros((3, 2)), np.zeros(2)])
    assert proved("lower", "bethe", forged, free, folder=tmp_path) == pytest.approx(math.log(6))
    for tied in (forge.bethe([[0, 1, 2], [0, 1]], [0, 0], [([0, 1], [])], []),):
        assert "with two" in reason(tmp_path, ("lower", "bethe", "-99", tied), m=free)
    low = proved("lower", "bethe", forge.bethe([[0, 2], [0, 1]], [0, 0], [], []), free, folder=tmp_path)
    assert low == pytest.approx(math.log(4))


def test_links_where_none_belong(tmp_path):
    table = 0.01 * np.outer(SPIN, SPIN)

    def forged(links):
        return "lower", "bethe", "-99", forge.bethe(KEPT, [0] * N, BLOCKS, links)

    assert "already" in reason(tmp_path, forged([(1, table), (1, table)]), m=magnet())
    for a in (-1, 99, 2**62):
        assert "does not have" in reason(tmp_path, forged([(a, table)]), m=magnet())
    assert "one number" in reason(tmp_path, forged([(1, [0.0, 0.0])]), m=magnet())


def test_a_link_takes_a_factor_out_of_its_block(tmp_path):
    """The block's trial does without it, and what is proved stays below."""
    table = 0.01 * np.outer(SPIN, SPIN)
    claim = ("lower", "bethe", "-99", forge.bethe(KEPT, [0] * N, BLOCKS, [(0, table)]))
    path = forge.seal(tmp_path / "out.cert", *forge.draft(magnet(), claim))
    (checked,) = check(path).claims
    assert checked.accepted
    assert functional({}) - 1.0 < checked.proved < LOG_Z


@pytest.mark.parametrize("name", sorted(witness(GOOD)))
@pytest.mark.parametrize("how", ["gone", "type", "shape", "short", "empty"])
def test_arrays_of_another_form(tmp_path, name, how):
    forged = witness(GOOD)
    found = forged.pop(name)
    other = {"type": found.astype(np.int16), "shape": found[None], "short": found[:-1], "empty": found[:0]}
    if how != "gone":
        forged[name] = other[how]
    reason(tmp_path, ("lower", "bethe", "-99", forged), m=magnet())


def test_ties_are_decided_by_the_decimals(tmp_path):
    """0.1 · 0.3 = 0.3 · 0.1 holds exactly, and a last digit more or less does not pass unseen."""
    text = "MARKOV 2 2 2 1 2 0 1 4 {} 0.3 0.1 0.3"
    blocks: list = [([0], []), ([1], [])]
    plain = forge.bethe([[0, 1]] * 2, [0, 0], blocks, [])
    claim = ("lower", "bethe", "-99", plain)
    assert proved("lower", "bethe", plain, forge.uai_model(text.format("0.1")), folder=tmp_path) < math.log(0.8)
    more, less = "0.1" + "0" * 60 + "1", "0.0" + "9" * 60
    assert proved("lower", "bethe", plain, forge.uai_model(text.format(more)), folder=tmp_path) < math.log(0.8)
    assert "log-supermodular" in reason(tmp_path, claim, m=forge.uai_model(text.format(less)))
    mad = "MARKOV 2 2 2 1 2 0 1 4 1e-99999 2e-99999 2e-99999 4e-99999"
    assert "log-supermodular" in reason(tmp_path, claim, m=forge.uai_model(mad))


def test_zeros(tmp_path):
    """A hard pair of equal spins: the table's zeros must carry no pseudo-mass."""
    equal = np.where(np.eye(2) > 0, [[0.3, 0], [0, -0.2]], -np.inf)
    model = forge.tables_model([2, 2], [(0, 1)], [equal])
    apart = forge.bethe([[0, 1]] * 2, [0, 0], [([0], []), ([1], [])], [(0, 0.1 * np.outer(SPIN, SPIN))])
    assert proved("lower", "bethe", apart, model, folder=tmp_path) == -math.inf
    together = forge.bethe([[0, 1]] * 2, [0, 0], [([0, 1], [])], [])
    assert proved("lower", "bethe", together, model, folder=tmp_path) == pytest.approx(np.logaddexp(0.3, -0.2))
    assert "log-supermodular" in reason(
        tmp_path, ("lower", "bethe", "-99", forge.bethe([[0, 1]] * 2, [0, 1], [([0, 1], [])], [])), m=model
    )
    gap = np.full((2, 2, 2), -np.inf)  # locally nothing to complain about, and yet not a lattice: 000 and 111 are zeros
    gap[0, 0, 1] = gap[1, 1, 0] = 0.0
    hollow = forge.tables_model([2, 2, 2], [(0, 1, 2)], [gap])
    forged = forge.bethe([[0, 1]] * 3, [0] * 3, [([0, 1, 2], [])], [])
    assert "log-supermodular" in reason(tmp_path, ("lower", "bethe", "-99", forged), m=hollow)


class Case:
    """A random log-supermodular model on two to five variables, some of them with their states exchanged."""

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.n = n = int(rng.integers(2, 6))
        self.flips = rng.integers(0, 2, n).tolist()
        self.scopes = [
            tuple(rng.permutation(n)[: rng.integers(1, min(n, 3) + 1)].tolist()) for _ in range(rng.integers(2, 8))
        ]
        self.logs = [self._table(scope) for scope in self.scopes]
        self.beta = float(rng.choice([1.0, 0.6, 1.7]))
        self.model = forge.tables_model([2] * n, self.scopes, self.logs, (), self.beta)
        if rng.random() < 0.3:
            words = ["MARKOV", n, *[2] * n, len(self.scopes)]
            for scope in self.scopes:
                words += [len(scope), *scope]
            entries = [[repr(float(np.exp(x))) for x in t.ravel()] for t in self.logs]
            words += [w for row in entries for w in (len(row), *row)]
            self.model = forge.uai_model(" ".join(map(str, words)), (), self.beta)
            with np.errstate(divide="ignore"):
                self.logs = [
                    np.log(np.array(r, float)).reshape(t.shape) for r, t in zip(entries, self.logs, strict=True)
                ]
        self.log_z = forge.enumerate_log_z([2] * n, self.scopes, self.logs, (), self.beta)

    def _table(self, scope):
        rng, k = self.rng, len(scope)
        table = np.zeros((2,) * k)
        for x in itertools.product((0, 1), repeat=k):
            y = [s ^ self.flips[v] for s, v in zip(x, scope, strict=True)]
            table[x] = sum(h * s for h, s in zip(self._numbers(scope, k), y, strict=True))
            table[x] += sum(
                J * y[i] * y[j]
                for (i, j), J in zip(itertools.combinations(range(k), 2), self._pairs(scope), strict=True)
            )
            table[x] += self._triple(scope) * math.prod(y) if k == 3 else 0.0
        if k == 1 and rng.random() < 0.1:
            table[rng.integers(2)] = -np.inf
        return table

    def _numbers(self, scope, k):
        return np.random.default_rng([1, *scope]).normal(size=k)

    def _pairs(self, scope):
        k = len(scope)
        return 2 * np.random.default_rng([2, *scope]).random(k * (k - 1) // 2)

    def _triple(self, scope):
        return np.random.default_rng([3, *scope]).random()

    def witness(self, strength):
        rng, n = self.rng, self.n
        home = rng.integers(0, n, n)
        blocks: list = [([v for v in range(n) if home[v] == b], []) for b in sorted(set(home.tolist()))]
        for order, extra in blocks:
            extra += [((v,), rng.normal(size=2, scale=0.7)) for v in order if rng.random() < 0.8]
        across = [a for a, s in enumerate(self.scopes) if len({home[v] for v in s}) > 1]
        links = [
            (
                a,
                strength * np.abs(rng.normal()) * self._signs(self.scopes[a])
                + rng.normal(size=(2,) * len(self.scopes[a])) * 1e-3,
            )
            for a in across
            if rng.random() < 0.8
        ]
        return forge.bethe([[0, 1]] * n, self.flips, blocks, links)

    def _signs(self, scope):
        table = np.zeros((2,) * len(scope))
        for x in itertools.product((0, 1), repeat=len(scope)):
            y = [1 - 2 * (s ^ self.flips[v]) for s, v in zip(x, scope, strict=True)]
            table[x] = sum(a * b for a, b in itertools.combinations(y, 2))
        return table


@many
@given(seeds)
def test_accepted_functionals_lie_below(folder, seed):  # noqa: F811
    case = Case(seed)
    for strength in (0.0, 0.02, 0.05, 0.1):
        arrays = case.witness(strength)
        verdict = check(forge.seal(folder / "b.cert", *forge.draft(case.model, ("lower", "bethe", "-inf", arrays))))
        assert verdict.accepted or "certainly positive" in verdict.reason
        if verdict.accepted:
            assert verdict.claims[0].proved <= case.log_z + SLACK


@many
@given(seeds)
def test_parts_of_a_split_by_bethe_lie_below(folder, seed):  # noqa: F811
    case = Case(seed)
    arrays = forge.split([0, 1, -1, -1, -1], [0, 0, 0], [case.witness(0.01)])
    verdict = check(forge.seal(folder / "b.cert", *forge.draft(case.model, ("lower", "split", "-inf", arrays))))
    assert verdict.accepted or "certainly positive" in verdict.reason
    if verdict.accepted:
        assert verdict.claims[0].proved <= case.log_z + SLACK


@many
@given(
    seeds,
    st.integers(0, 2**16),
    st.sampled_from([-(2**63), -1, 0, 1, 2, 7, 2**31, 2**62, math.nan, math.inf, -math.inf, 1e300, 1e-9]),
)
def test_any_changed_number_is_refused_or_still_true(folder, seed, place, value):  # noqa: F811
    """One entry of one array of the witness or of the model replaced, everything hashed anew."""
    case = Case(seed)
    kind, parts = case.model
    arrays = {f"w/{name}": array for name, array in case.witness(0.03).items()}
    arrays |= {f"model/{name}": array for name, array in parts.items() if kind == "tables"}
    names = sorted(name for name, array in arrays.items() if array.size)
    name = names[place % len(names)]
    array = arrays[name] = arrays[name].copy()
    real = array.dtype == np.float64
    array.flat[place % array.size] = value if real or (math.isfinite(value) and abs(value) < 2**63) else -1
    witness = {key[2:]: a for key, a in arrays.items() if key.startswith("w/")}
    changed = kind, parts | {key[6:]: a for key, a in arrays.items() if key.startswith("model/")}
    verdict = check(forge.seal(folder / "b.cert", *forge.draft(changed, ("lower", "bethe", "-inf", witness))))
    if verdict.accepted:
        log_z = case.log_z if name.startswith("w/") else relabelled(changed)
        assert verdict.claims[0].proved <= log_z + SLACK * max(1.0, abs(log_z))


def relabelled(model):
    """log Z of a model of log tables, from its arrays."""
    parts = model[1]
    scopes = np.split(parts["scopes"], parts["scopes_start"][1:-1])
    sizes = parts["sizes"].tolist()
    cuts = np.cumsum([math.prod(sizes[v] for v in scope) for scope in scopes])
    shapes = [[sizes[v] for v in scope] for scope in scopes]
    logs = [t.reshape(shape) for t, shape in zip(np.split(parts["values"], cuts[:-1]), shapes, strict=True)]
    return forge.enumerate_log_z(
        sizes, [tuple(scope.tolist()) for scope in scopes], logs, parts["evidence"].tolist(), float(parts["beta"][0])
    )
