"""``nfl-pruning verify``: table, JSON, resuming, exit codes, and the report in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest

from nfl_pruning.report.page import formula
from nfl_pruning.statements import STATEMENTS, Measured, Plot, Quantity, Series
from shell import shell

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
     if (found := shutil.which(name))), None,
)  # fmt: skip


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    """The folder of one cheap statement's verification."""
    return tmp_path_factory.mktemp("verify")


def verify(capsys, folder, *arguments):
    return shell(capsys, "verify", "--only", "grand-el2n", "--out", str(folder), *arguments)


def test_it_prints_a_table_and_resumes(capsys, verified):
    first = verify(capsys, verified)
    assert first.code == 0
    assert "grand-el2n" in first.out and "supported" in first.out and "refuted" in first.out
    assert all(len(line) <= 80 for line in first.out.splitlines() if "report" not in line)
    start = time.monotonic()
    again = verify(capsys, verified)
    assert time.monotonic() - start < 2  # from the record
    assert again.out == first.out


def test_json_tells_all(capsys, verified):
    ran = verify(capsys, verified, "--json")
    (found,) = ran.json["statements"]
    assert found["as_expected"] and found["control_refuted"] and ran.json["as_expected"]
    assert 0 <= found["chance_undecided"] < 1e-6
    assert {"predicted", "measured", "error", "matters", "z", "verdict"} <= set(
        found["quantities"][0]
    )


def test_processes_find_the_same(capsys, verified, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # that of this process
    alone = verify(capsys, verified, "--json").json["statements"][0]
    names = "truncated-minimiser,grand-el2n"
    ran = shell(capsys, "verify", "--only", names, "--jobs", "2", "--out", str(tmp_path), "--json")
    assert ran.code == 0 and "2 checks, 2 at a time" in ran.err
    assert [found["statement"] for found in ran.json["statements"]] == names.split(",")
    assert ran.json["statements"][1]["quantities"] == alone["quantities"]


def test_a_process_that_is_killed_ends_in_a_sentence(capsys, tmp_path, monkeypatch):
    def kill(*arguments):
        raise BrokenProcessPool

    monkeypatch.setattr("nfl_pruning.experiments.processes.ProcessPoolExecutor.submit", kill)
    names = "truncated-minimiser,grand-el2n"
    ran = shell(capsys, "verify", "--only", names, "--jobs", "2", "--out", str(tmp_path))
    assert ran.code == 2 and "--jobs 1 for less memory" in ran.err


def test_an_unexpected_verdict_ends_with_1(capsys, tmp_path, monkeypatch):
    right = STATEMENTS["grand-el2n"]

    def wrong(preset, seed):
        return Measured([Quantity("q", 1.0, 2.0, 0.01, 1.0)], [])

    monkeypatch.setitem(STATEMENTS._members, "grand-el2n", replace(right, measure=wrong))
    ran = verify(capsys, tmp_path)
    assert ran.code == 1 and "refuted" in ran.out and "0 of 1 as expected" in ran.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--only", "no-free-lunches"), "no-free-lunch"), (("--preset", "slow"), "quick"),
     (("--seed", "-1"), "seed"), (("--seed", "x"), "seed")],
)  # fmt: skip
def test_bad_input_is_one_sentence(capsys, tmp_path, arguments, word):
    ran = shell(capsys, "verify", "--out", str(tmp_path), *arguments)
    assert ran.code == 2 and word in ran.err
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        ran = verify(capsys, tmp_path / place)
        assert ran.code == 2 and "out must be a folder" in ran.err


def test_the_report_needs_nothing_else(verified):
    page = (verified / "report.html").read_text(encoding="utf-8")
    assert 'name="viewport"' in page and "<style>" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(s.startswith(("data:", "#")) for s in sources)
    assert "<script" not in page and "url(" not in page
    for part in ("Assumptions", "Evidence", "Run it again", "nfl-pruning verify --only grand-el2n"):
        assert part in page


def test_formulas_are_marked_up_and_escaped():
    assert formula("a `W_1 < n^{−1/2}` b<") == (
        'a <span class="f">W<sub>1</sub> &lt; n<sup>−1/2</sup></span> b&lt;'
    )


def test_plots_draw_every_kind_of_series():
    from nfl_pruning.report.plots import draw

    series = [
        Series("line", [1.0, 10.0], [1.0, 0.1], look="random"),
        Series("", [1.0, 10.0], [0.9, 0.2], [0.1, 0.05], "exact", points=True),
    ]
    figure = draw(Plot("t", "x", "y", series, x_log=True, y_log=True))
    axes = figure.axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    legend = axes.get_legend()
    assert legend is not None and [t.get_text() for t in legend.get_texts()] == ["line"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_report_opens_in_a_browser(verified, tmp_path, width):
    """It renders, and nothing is wider than the window."""
    probe = tmp_path / "report.html"
    page = (verified / "report.html").read_text(encoding="utf-8")
    script = (
        "<script>addEventListener('load', () => { const d = document.documentElement;"
        "document.title = 'width ' + d.scrollWidth + ' of ' + innerWidth + ' images ' +"
        "[...document.images].every(i => i.complete && i.naturalWidth > 0); });</script>"
    )
    page = page.replace('loading="lazy" ', "").replace("</body>", script + "</body>")
    probe.write_text(page, encoding="utf-8")
    shot = tmp_path / "shot.png"
    assert BROWSER is not None
    ran = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
         f"--screenshot={shot}", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         probe.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"<title>width (\d+) of (\d+) images (\w+)</title>", ran.stdout)
    assert found is not None, ran.stdout[:500]
    assert int(found[1]) <= int(found[2]) <= max(width, 500) and found[3] == "true"
