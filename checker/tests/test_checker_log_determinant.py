"""Log-determinants: above log Z whatever the diagonal, and refused where the model or the matrix is not right."""

import math

import forge
import numpy as np
import pytest

from calipers_check import check

SPIN = np.array([1.0, -1.0])


def magnet(seed, n=6, scale=1.0, fields=True):
    rng = np.random.default_rng(seed)
    edges = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.7]
    couplings, h = rng.normal(scale=scale, size=len(edges)), rng.normal(size=n) * fields
    logs = [J * np.outer(SPIN, SPIN) for J in couplings] + [x * SPIN for x in h]
    log_z = forge.enumerate_log_z([2] * n, [*edges, *((i,) for i in range(n))], logs)
    J = np.zeros((n, n))
    for (i, j), x in zip(edges, couplings, strict=True):
        J[i, j] = J[j, i] = x
    return forge.ising_model(edges, couplings, h), J, h, log_z


def witness(diagonal, kept=None):
    return forge.cut("kept", kept or [[0, 1]] * len(diagonal)) | {"diagonal": np.array(diagonal, np.float64)}


def look(tmp, model, arrays, claim="inf", side="upper"):
    return check(forge.seal(tmp / "a.cert", *forge.draft(model, (side, "log_determinant", claim, arrays))))


def formula(J, h, lam):
    """Theorem 8 in float64."""
    mu, V = np.linalg.eigh(np.diag(lam) - J)
    y, n = V.T @ h, len(lam)
    value = 2 / 3 * lam.sum() - n / 2 - (0.5 * np.log(np.minimum(mu, 3)) + np.maximum(mu - 3, 0) / 6).sum()
    return value + 0.5 * (y * y / mu).sum() + n / 2 * math.log(math.pi * math.e / 2)


@pytest.mark.parametrize("seed", range(6))
def test_it_proves_the_formula_and_that_is_above(tmp_path, seed):
    model, J, h, log_z = magnet(seed)
    lam = np.abs(J).sum(1) + np.random.default_rng(seed).random(6) + 0.2 + (seed % 3)
    verdict = look(tmp_path, model, witness(lam))
    assert verdict.accepted
    assert verdict.claims[0].proved == pytest.approx(formula(J, h, lam), abs=1e-9)
    assert verdict.claims[0].proved > log_z
    assert not look(tmp_path, model, witness(lam), repr(formula(J, h, lam) - 1e-8)).accepted


def test_only_from_above(tmp_path):
    model, _, _, _ = magnet(1)
    assert "above only" in look(tmp_path, model, witness(np.full(6, 9.0)), "-99", "lower").reason


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e300])
def test_a_matrix_that_is_not_certainly_positive_definite(tmp_path, value):
    model, _, _, log_z = magnet(2, scale=2.0)
    verdict = look(tmp_path, model, witness(np.full(6, value)))
    assert (not verdict.accepted and "positive definite" in verdict.reason) or verdict.claims[0].proved >= log_z


def test_singular_to_the_last_bit(tmp_path):
    """λ = J of a single pair: the matrix has an eigenvalue 0, and next to it one of some 1e-16."""
    model = forge.ising_model([(0, 1)], [1.0], [0.0, 0.0])
    for lam in (1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)):
        verdict = look(tmp_path, model, witness([lam, lam]))
        assert not verdict.accepted or verdict.claims[0].proved >= math.log(4 * math.cosh(1.0))


def test_lone_spins_and_constants_are_exact(tmp_path):
    """Pairs that are the same everywhere bind nothing; variables in no factor count their states, be they many."""
    logs = [np.full((2, 2), 0.3), np.array([0.1, 0.9]), np.array(-0.7)]
    model = forge.tables_model([2, 2, 4], [(0, 1), (1,), ()], logs)
    verdict = look(tmp_path, model, witness([0.0, 0.0, 0.0], [[0, 1], [0, 1], [0, 1, 2, 3]]))
    value = 0.3 - 0.7 + math.log(2) + math.log(math.exp(0.1) + math.exp(0.9)) + math.log(4)
    assert verdict.claims[0].proved == pytest.approx(value, abs=1e-12)


def test_files_with_fields_in_their_pairs(tmp_path):
    """The same magnet as a UAI text whose pair has fields of its own, one variable observed."""
    a, b = np.exp(0.5 * np.outer(SPIN, SPIN) + 0.2 * SPIN[:, None] - 0.4 * SPIN), np.exp(0.3 * np.outer(SPIN, SPIN))
    words = " ".join(f"{x:.17g}" for x in (*a.ravel(), *b.ravel()))
    text = f"MARKOV 3 2 2 2 2 2 0 1 2 1 2 4 {' '.join(words.split()[:4])} 4 {' '.join(words.split()[4:])}"
    model = forge.uai_model(text, evidence=[(2, 1)])
    verdict = look(tmp_path, model, witness([1.5, 1.4, 0.0], [[0, 1], [0, 1], [1]]))
    truth = math.log((a * b[:, 1]).sum())
    J = np.array([[0.0, 0.5], [0.5, 0.0]])
    assert verdict.claims[0].proved == pytest.approx(formula(J, np.array([0.2, -0.7]), np.array([1.5, 1.4])), abs=1e-9)
    assert verdict.claims[0].proved > truth


@pytest.mark.parametrize(
    ("scopes", "logs", "sizes", "said"),
    [
        ([(0, 1)], [np.array([[0.0, -np.inf], [0.0, 0.0]])], [2, 2], "zero"),
        ([(0, 1, 2)], [np.arange(8.0).reshape(2, 2, 2)], [2, 2, 2], "more than two"),
        ([(0, 1)], [np.arange(6.0).reshape(3, 2)], [3, 2], "or states"),
        ([(0,)], [np.arange(3.0)], [3, 2], "or states"),
    ],
)
def test_models_that_are_no_magnets(tmp_path, scopes, logs, sizes, said):
    model = forge.tables_model(sizes, scopes, logs)
    assert said in look(tmp_path, model, witness([9.0] * len(sizes), [list(range(k)) for k in sizes])).reason


def test_states_may_not_be_dropped(tmp_path):
    model, _, _, _ = magnet(3)
    kept = [[0]] + [[0, 1]] * 5
    assert "drops state 1" in look(tmp_path, model, witness(np.full(6, 9.0), kept)).reason


@pytest.mark.parametrize("diagonal", [[9.0] * 5, [9.0] * 7, [9.0] * 5 + [math.nan], [9.0] * 5 + [math.inf]])
def test_diagonals_of_another_form(tmp_path, diagonal):
    model, _, _, _ = magnet(4)
    arrays = forge.cut("kept", [[0, 1]] * 6) | {"diagonal": np.array(diagonal)}
    assert "diagonal" in look(tmp_path, model, arrays).reason


def test_a_matrix_too_large_is_refused_before_it_is_made(tmp_path):
    n = 1502
    edges = [(i, i + 1) for i in range(n - 1)]
    model = forge.ising_model(edges, np.full(n - 1, 0.1), np.zeros(n))
    assert "more than this checker" in look(tmp_path, model, witness(np.full(n, 1.0))).reason
