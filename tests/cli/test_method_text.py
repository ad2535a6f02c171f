"""Methods as text: what is understood, and that nothing is evaluated."""

import pytest
import typer

import calipers as cal
from calipers.cli.method_text import METHODS, parse_method


@pytest.mark.parametrize("name", METHODS)
def test_reprs_round_trip(name):
    method = parse_method(name)
    assert repr(parse_method(repr(method))) == repr(method)
    assert isinstance(method, getattr(cal, name))


@pytest.mark.parametrize("text", ["auto", "Auto", "Auto()", " auto "])
def test_auto(text):
    assert parse_method(text) == cal.Auto()


@pytest.mark.parametrize("text", ["mean-field", "mean_field", "meanfield", "MeanField"])
def test_bare_names_in_any_case(text):
    assert parse_method(text) == cal.MeanField()


def test_arguments():
    assert parse_method("MiniBucket(ibound=8)") == cal.MiniBucket(ibound=8)
    assert parse_method("MiniBucket(8)") == cal.MiniBucket(8)
    assert parse_method("MiniBucket(ibound=None, sweeps=2)") == cal.MiniBucket(sweeps=2)
    assert parse_method("MeanField(tolerance=1)") == cal.MeanField(tolerance=1)
    assert parse_method("PopulationAnnealing(kernel=Wolff())") == cal.PopulationAnnealing(kernel=cal.Wolff())
    replicas = cal.MultistateReweighting(kernel=cal.ParallelTempering(replicas=5))
    assert parse_method(repr(replicas)) == replicas


@pytest.mark.parametrize(
    "text",
    [
        "", "Foo()", "__import__('os')", "Auto.__class__", "Auto().plan", "MiniBucket(ibound=open('x'))", "1 + 1",
        "MiniBucket(ibound=2**99999)", "MiniBucket(*[1])", "MiniBucket(**{})", "MiniBucket(nonsense=1)", "MiniBucket(",
        "MiniBucket(ibound=-1)", "MeanField(starts=2.5)", "MeanField(starts='3')", "MeanField(starts=True)",
        "(lambda: 1)()", "[Auto()]", "Auto();Auto()", "(" * 5000, "Auto(" * 300, "print", "METHODS", "a\nb",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_list(text):
    with pytest.raises(typer.BadParameter, match="MiniBucket"):
        parse_method(text)


def test_a_near_miss_is_pointed_out():
    with pytest.raises(typer.BadParameter, match="did you mean Elimination"):
        parse_method("Eliminaton()")
