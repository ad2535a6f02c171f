"""UAI files: every published one reads, what is damaged is refused with its line, what is written reads back."""

import csv
import gzip
import math
import os
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calipers.io.errors import InputError, InputWarning, SpecError
from calipers.io.evidence import read_evidence
from calipers.io.tokens import read_bytes
from calipers.io.uai import read_uai, write_mar, write_pr, write_uai
from calipers.models.factor_graph import FactorGraph

GOOD = "MARKOV\n2\n2 3\n2\n1 0\n2 0 1\n\n2\n 0.25 0.75\n6\n 1 2 3 4 5 0\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="model.uai"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_reads_tables_in_file_order_last_variable_fastest(write):
    graph = read_uai(write(GOOD))
    assert graph.sizes == (2, 3)
    assert graph.scopes == ((0,), (0, 1))
    assert graph.tables[1][0, 2] == np.log(3.0)
    assert graph.tables[1][1, 2] == -math.inf
    assert graph.text == b"MARKOV 2 2 3 2 1 0 2 0 1 2 0.25 0.75 6 1 2 3 4 5 0"


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: t.replace(" ", "\t\v\f"), str.lower])
def test_any_white_space_and_case(write, change):
    assert read_uai(write(change(GOOD))).text == read_uai(write(GOOD)).text


def test_constants_and_one_state_variables_are_legal(write):
    graph = read_uai(write("BAYES 2 1 2 3 0 1 0 2 1 0 1 5 1 0.5 2 1e-300 .5"))
    assert [t.shape for t in graph.tables] == [(), (1,), (2, 1)]
    assert graph.log_weight(np.array([0, 1])) == pytest.approx(math.log(5 * 0.5 * 0.5), rel=1e-15)
    assert read_uai(write("MARKOV 0 0")).n == 0


def test_numbers_too_small_for_float64_keep_their_logarithm(write):
    table = read_uai(write("MARKOV 1 4 1 1 0 4 1e-400 0.0e5 2e-310 -0")).tables[0]
    np.testing.assert_allclose(table[[0, 2]], [-400 * math.log(10), math.log(2) - 310 * math.log(10)], rtol=1e-15)
    assert np.isneginf(table[[1, 3]]).all()


def test_words_after_the_last_table_are_ignored_with_one_warning(write):
    with pytest.warns(InputWarning, match=r"model\.uai:13: 2 words after the last table are ignored") as caught:
        graph = read_uai(write(GOOD + "\nhello 7\n"))
    assert len(caught) == 1
    assert graph.text == read_uai(write(GOOD)).text


def test_gzip_is_read_and_its_damage_refused(write):
    packed = gzip.compress(GOOD.encode())
    assert read_uai(write(packed, "a.uai.gz")).text == read_uai(write(GOOD)).text
    with pytest.raises(InputError, match="cannot be read"):
        read_uai(write(packed[:-12], "b.uai.gz"))
    with pytest.raises(InputError, match="cannot be read"):
        read_uai(write(b"\x1f\x8b" + bytes(range(200)), "c.uai.gz"))
    with pytest.raises(InputError, match="not gzip"):
        read_uai(write(GOOD, "d.uai.gz"))


def test_a_bomb_is_refused_before_it_is_unpacked(write):
    path = write(gzip.compress(b" " * 10**7), "bomb.uai.gz")
    with pytest.raises(InputError, match="unpacks to more than the 100000 bytes"):
        read_bytes(path, limit=100_000)
    with pytest.raises(InputError, match="has memory for 10"):
        read_bytes(write(GOOD), limit=10)


BAD = {
    "empty": ("", 1, "empty"),
    "blank": ("\n \n", 1, "empty"),
    "header": ("MARKOVIAN\n1\n2\n0\n", 1, "MARKOV or BAYES"),
    "binary": (bytes(range(256)) * 20, 1, "MARKOV or BAYES"),
    "binary inside": (b"MARKOV\n1\n2\n1\n1 0\n2 \xff\x00 1\n", 6, "expected a number"),
    "truncated": ("MARKOV\n2\n2 2\n1\n2 0 1\n4 0.1 0.2\n", 6, "ends after 2"),
    "no tables": ("MARKOV\n2\n2 2\n1\n2 0 1\n", 5, "the file ends"),
    "cut scopes": ("MARKOV\n2\n2 2\n2\n2 0 1\n2 0", 6, "the file ends"),
    "negative": ("MARKOV\n1\n2\n1\n1 0\n2\n0.5 -1\n", 7, "not negative"),
    "tiny negative": ("MARKOV\n1\n2\n1\n1 0\n2\n0.5 -1e-400\n", 7, "≥ 0"),
    "mad exponent": ("MARKOV\n1\n2\n1\n1 0\n2\n0.5 1e-99999999999999999999999\n", 7, "exponent"),
    "nan": ("MARKOV\n1\n2\n1\n1 0\n2 nan 0.5\n", 6, "expected a number"),
    "inf": ("MARKOV\n1\n2\n1\n1 0\n2 inf 0.5\n", 6, "expected a number"),
    "overflow": ("MARKOV\n1\n2\n1\n1 0\n2 1e999 0.5\n", 6, "finite"),
    "hex": ("MARKOV\n1\n2\n1\n1 0\n2 0x10 0.5\n", 6, "expected a number"),
    "underscore": ("MARKOV\n1\n2\n1\n1 0\n2 1_000 0.5\n", 6, "expected a number"),
    "underscore count": ("MARKOV\n1\n2_0\n1\n1 0\n2 1 0.5\n", 3, "integer"),
    "dots": ("MARKOV\n1\n2\n1\n1 0\n2 1.2.3 0.5\n", 6, "expected a number"),
    "words": ("MARKOV\n1\n2\n1\n1 0\n2 one two\n", 6, "'one'"),
    "count": ("MARKOV\n2\n2 2\n1\n2 0 1\n3 1 1 1\n", 6, "expected 4 entries"),
    "count word": ("MARKOV\n1\n2\n1\n1 0\n2.0 1 1\n", 6, "integer"),
    "range": ("MARKOV\n2\n2 2\n1\n2 0 7\n4 1 1 1 1\n", 5, "from 0 to 1"),
    "negative variable": ("MARKOV\n2\n2 2\n1\n2 0 -1\n4 1 1 1 1\n", 5, "from 0 to 1"),
    "twice": ("MARKOV\n2\n2 2\n1\n2 0 0\n4 1 1 1 1\n", 5, "repeats a variable"),
    "arity": ("MARKOV\n1\n2\n1\n9999999 0\n2 1 1\n", 5, "scope"),
    "no state": ("MARKOV\n1\n0\n1\n1 0\n0\n", 3, "at least 1"),
    "negative n": ("MARKOV\n-3\n2\n1\n1 0\n2 1 1\n", 2, "variables"),
    "huge n": ("MARKOV\n999999999999\n2 2\n1\n1 0\n2 1 1\n", 2, "only 8 words follow"),
    "huge domain": ("MARKOV\n1\n999999999999\n1\n1 0\n2 1 1\n", 3, "could hold"),
    "huge free domain": ("MARKOV\n1\n999999999999\n0\n", 3, "could hold"),
    "huge product": ("MARKOV\n3\n9999 9999 9999\n1\n3 0 1 2\n2 1 1\n", 6, "expected 999700029999 entries"),
    "huge table": ("MARKOV\n1\n2\n1\n1 0\n888888888888 1 1\n", 6, "expected 2 entries"),
    "huge f": ("MARKOV\n1\n2\n888888888888\n1 0\n2 1 1\n", 4, "only 5 words follow"),
    "huge digits": ("MARKOV\n" + "9" * 5000 + "\n2 2\n", 2, "integer"),
    "wide scope": (f"MARKOV\n65\n{'1 ' * 65}\n1\n65 {' '.join(map(str, range(65)))}\n1 1\n", 5, "longer than 64"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_is_refused_with_its_line(write, name):
    text, line, message = BAD[name]
    path = write(text)
    with pytest.raises(InputError) as caught:
        read_uai(path)
    assert caught.value.line == line
    assert message in caught.value.message
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)
    assert len(caught.value.message) < 200


def test_what_is_no_file_is_refused_without_a_line(tmp_path):
    for path in (tmp_path, tmp_path / "missing.uai", "/dev/null", "nul\0byte.uai"):
        with pytest.raises(InputError) as caught:
            read_uai(path)
        assert caught.value.line is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused(write):
    path = write(GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        read_uai(path)


SIZES = (2, 3, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("0", {}),
        ("0\n2 0\n", {}),  # published so: a leading 0 means none
        ("1 0", {}),
        ("1 1 2", {1: 2}),
        ("1\n1 1 2", {1: 2}),
        ("1\n2 0 1 1 2\n", {0: 1, 1: 2}),
        ("2 0 1 1 2", {0: 1, 1: 2}),
        ("2 0 1 0 1", {0: 1}),
    ],
)
def test_evidence_in_the_newer_and_the_older_form(write, text, expected):
    assert read_evidence(write(text, "a.evid"), SIZES) == expected


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("2\n0 1\n1 3", 3, "state 3"),
        ("1\n7 0", 2, "variable 7"),
        ("2\n0 1\n0 0", 3, "in state 1 and in state 0"),
        ("3 0 1", 1, "expected 3 pairs"),
        ("1 2 0 1", 1, "expected 2 pairs"),
        ("2\n1 0 1\n1 1 2", 1, "2 samples"),
        ("1 0 x", 1, "'x'"),
        ("-1 0", 1, "'-1'"),
        ("1 0 -1", 1, "'-1'"),
    ],
)
def test_damaged_evidence_is_refused_with_its_line(write, text, line, message):
    with pytest.raises(InputError) as caught:
        read_evidence(write(text, "a.evid"), SIZES)
    assert caught.value.line == line
    assert message in caught.value.message


def test_evidence_as_text_and_as_mapping(write):
    assert read_evidence("0=1, 1=2", SIZES) == {0: 1, 1: 2}
    assert read_uai(write(GOOD), "1=2").evidence == ((1, 2),)
    assert read_uai(write(GOOD), {1: 2, 0: 0}).evidence == ((0, 0), (1, 2))
    assert read_uai(write(GOOD), "").evidence == ()
    for malformed in ("3=", "a=1", "1=2=3", "0=1;1=1"):
        with pytest.raises(SpecError, match="variable=state"):
            read_evidence(malformed, SIZES)
    for outside in ("0=2", "3=0", "0=1,0=0", {0: -1}):
        with pytest.raises(InputError, match="evidence"):
            read_evidence(outside, SIZES)


def test_all_published_files(shared_data):
    folder = shared_data / "uai"
    with open(folder / "MANIFEST.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert rows
    for row in rows:
        path = folder / row["file"]
        seen = path.with_name(path.name + ".evid")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            graph = read_uai(path, seen if seen.exists() else None)
        assert graph.n == int(row["n_vars"]), row["name"]
        assert len(graph.scopes) == int(row["n_factors"]), row["name"]
        assert max(graph.sizes) == int(row["max_domain"]), row["name"]
        assert max(map(len, graph.scopes)) == int(row["max_factor_arity"]), row["name"]
        count = row["n_evidence"].split()[0]
        assert len(graph.evidence) == (0 if count == "none" else int(count)), row["name"]


def test_what_was_read_is_written_back_word_for_word(write, tmp_path):
    graph = read_uai(write(GOOD.replace("0.25", "2.50e-01")), "1=1")
    for name in ("out.uai", "out.uai.gz"):
        out = tmp_path / name
        write_uai(graph, out)
        again = read_uai(out, f"{out}.evid")
        assert again.text == graph.text
        assert again.evidence == graph.evidence


@given(st.data())
def test_round_trip_of_any_model(tmp_path_factory, data):
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    scopes = data.draw(st.lists(st.permutations(range(len(sizes))).map(lambda p: tuple(p[:2])), max_size=4))
    logs = st.one_of(st.floats(-700, 700), st.just(-math.inf), st.floats(-5000, -690), st.floats(690, 3000))
    tables = tuple(
        np.array(data.draw(st.lists(logs, min_size=k, max_size=k))).reshape([sizes[v] for v in s])
        for s in scopes
        for k in [math.prod(sizes[v] for v in s)]
    )
    graph = FactorGraph(sizes, tuple(scopes), tables, beta=data.draw(st.sampled_from([1.0, 0.5, 2.0])))
    path = tmp_path_factory.mktemp("uai") / "model.uai"
    write_uai(graph, path)
    again = read_uai(path)
    assert again.scopes[: len(scopes)] == graph.scopes
    for x in np.ndindex(*sizes):
        here, there = graph.log_weight(np.array(x)), again.log_weight(np.array(x))
        scale = sum(abs(t[tuple(x[v] for v in s)]) for s, t in zip(scopes, graph.log_tables(), strict=True))
        assert here == there == -math.inf or abs(here - there) <= 1e-15 * (8 + 8 * scale)


def test_entries_within_float64_keep_fifteen_digits(tmp_path):
    theta = np.random.default_rng(0).normal(0, 30, (40, 50))
    path = tmp_path / "model.uai"
    write_uai(FactorGraph((40, 50), ((0, 1),), (theta,)), path)
    np.testing.assert_allclose(read_uai(path).tables[0], theta, rtol=1e-15, atol=1e-15)


def test_result_files(tmp_path):
    write_pr(math.log(1000.0), tmp_path / "a.PR")
    word, value = (tmp_path / "a.PR").read_text().split()
    assert word == "PR"
    assert float(value) == pytest.approx(3.0, rel=1e-15)
    write_pr(-math.inf, tmp_path / "b.PR")
    assert (tmp_path / "b.PR").read_text() == "PR\n-inf\n"
    write_mar([np.array([0.25, 0.75]), [1.0]], tmp_path / "a.MAR")
    assert (tmp_path / "a.MAR").read_text() == "MAR\n2 2 0.25 0.75 1 1.0\n"
