"""The table of published values: complete, fresh, and able to say that numbers differ."""

import numpy as np
import pytest

import published
import published_formulas as formulas

HINT = "run: python docs/generate/published.py"


def rows():
    lines = published.PAGE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| source")]


def test_the_page_has_a_row_for_every_value_and_all_agree():
    found = rows()
    everything = list(published.values())
    misprints = list(published.misprints())
    assert len(found) == len(everything) + len(misprints), HINT
    for line, value in zip(found, everything, strict=False):
        assert f"| {value.source} | {value.what} |" in line, HINT
        assert f"| {value.theirs:.{value.digits}f} |" in line, HINT
        assert line.endswith("| agrees |")
    for line, value in zip(found[len(everything) :], misprints, strict=True):
        assert f"| {value.what} | {value.theirs:.{value.digits}f} |" in line, HINT
        assert "**differs by" in line
        assert published.row(value) == line, HINT
    assert {value.source for value in everything} == set(published.SOURCES)


@pytest.mark.parametrize("source", ["Mignacco et al. 2020", "El Firdoussi et al. 2025"])
def test_rows_are_what_the_package_computes(source):
    for value in published.values():
        if value.source == source:
            assert published.row(value) in rows(), HINT


@pytest.mark.slow
def test_the_page_is_fresh():
    assert published.PAGE.read_text(encoding="utf-8") == published.page(), HINT


def test_a_wrong_number_is_called_different():
    """The control: what matters is off by twice what is allowed."""
    for value in published.values():
        wrong = published.row(value, ours=value.theirs + 2 * value.within)
        assert "differs" in wrong and "agrees" in published.row(value, ours=value.theirs)


def test_the_formulas_agree_where_two_of_them_meet():
    """Ridge regression on two clusters: a fixed point, a verifier that keeps all, least error."""
    for alpha, penalty in ((3.0, 0.6), (0.5, 0.2)):
        by_iteration = formulas.two_clusters(alpha, 1.0, penalty, "squared")
        closed = formulas.verified_ridge(alpha, 1.0, penalty / alpha, 0.0, (1.0, 1.0))
        np.testing.assert_allclose(by_iteration, closed, atol=1e-10)
        assert formulas.bayes_two_clusters(alpha, 1.0) < closed
    almost = formulas.two_clusters(3.0, 0.5, 1e6, "squared")
    np.testing.assert_allclose(almost, formulas.bayes_two_clusters(3.0, 0.5), atol=1e-9)
