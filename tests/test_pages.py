"""Every page of the documentation that has code runs, and prints what it says it prints."""

import importlib.util
import re

import pytest

from generated import ROOT, examples, outputs, pages

PAGES = pages()


def test_the_pages_are_there():
    assert len(PAGES) >= 8
    assert {path.parent.name for path in PAGES} == {"start", "tutorials", "how-to"}


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_code_prints_what_the_page_says(path):
    text = path.read_text("utf-8")
    if "import pandas" in text and importlib.util.find_spec("pandas") is None:
        pytest.skip("pandas is not installed here.")
    shown = [output for _, output in examples(text)]
    assert any(shown), f"{path.name} shows nothing that could be stale"
    assert outputs(text) == shown, "run: python docs/generate/generated.py"


LINK = re.compile(r"\]\(([^)#\s]+?)(#[^)\s]*)?\)")


def test_links_between_pages_lead_somewhere():
    made = {"gallery.md", "explorer/index.html"}  # written when the site is built
    for path in (ROOT / "docs").rglob("*.md"):
        for target, _ in LINK.findall(path.read_text()):
            if "://" in target:
                continue
            place = (path.parent / target).resolve()
            inside = (
                place.relative_to(ROOT / "docs").as_posix()
                if ROOT / "docs" in place.parents
                else ""
            )
            assert place.exists() or inside in made or inside.startswith(("api/", "cli/")), (
                path,
                target,
            )
