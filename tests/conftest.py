"""Shared by all tests: compiled programs of one file are not carried through the whole run."""

import pytest

from nfl_pruning.programs import release_programs


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    yield
    release_programs(share=0.25)
