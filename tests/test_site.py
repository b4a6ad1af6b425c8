"""The site builds strictly, no link is broken, and the explorer shows what ``solve`` gives."""

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from nfl_pruning import solve
from nfl_pruning.experiments import overrides
from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import to_json

ROOT = Path(__file__).resolve().parents[1]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GRID_SCRIPT, gallery = script("explorer_grid"), script("gallery")
TEXT = (ROOT / "docs" / "explorer" / "grid.js").read_text()
GRID = json.loads(TEXT.removeprefix("const GRID = ").rstrip(";\n"))
POINTS = {
    "hardest": {"signal": 3.0, "alignment": 0.6, "ridge": 0.03},
    "easiest": {"signal": 1.0, "alignment": 0.9, "ridge": 0.01},
    "random": {"signal": 2.0, "ridge": 0.1},
    "calibrated": {"signal": 2.0, "alignment": 0.3, "ridge": 0.01, "exploit": 0.75},
}
WHERE = {"keep_fraction": 0.37, "samples_per_feature": 4.4}


def interpolated(policy, name, numbers):
    part = GRID["policies"][policy]
    sliders = [GRID["sliders"][axis] for axis in part["axes"]]
    shape = [*map(len, sliders), *GRID["nodes"].values()]
    values = np.array(part[name]).reshape(shape) / GRID["steps"]
    chosen = tuple(
        own.index(numbers[axis]) for own, axis in zip(sliders, part["axes"], strict=True)
    )
    across = []
    for axis, (low, high) in GRID["ranges"].items():
        t = np.log(numbers[axis] / low) / np.log(high / low)
        across.append(GRID_SCRIPT.weights(np.array([t]), GRID["nodes"][axis])[0])
    return across[0] @ values[chosen] @ across[1]


@pytest.mark.parametrize("policy", POINTS)
def test_the_explorers_numbers_are_limits(policy):
    numbers = POINTS[policy] | WHERE
    exact = solve(GRID_SCRIPT.moved(GRID_SCRIPT.problem(policy), numbers))
    for name in ("cosine", "test_error"):
        assert abs(interpolated(policy, name, numbers) - getattr(exact, name)) < 1e-3
    moved = numbers | {"keep_fraction": 0.47}
    assert abs(interpolated(policy, "cosine", moved) - exact.cosine) > 1e-3  # it would be seen


def test_the_stated_error_is_small_and_of_the_same_grid():
    assert max(max(found.values()) for found in GRID["errors"].values()) < 1e-3
    assert GRID["points"] >= 200
    assert GRID["sliders"] == GRID_SCRIPT.SLIDERS and GRID["nodes"] == GRID_SCRIPT.NODES


class Links(HTMLParser):
    """Targets of links, pictures and scripts, and names of places."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        self.targets += [found[name] for name in ("href", "src") if found.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed here: pip install 'nfl-pruning[docs]'.")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NFL_PRUNING_PAGES_AS_WRITTEN": "1"},  # test_pages.py runs them
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def rendered(address):
    """The page as headless Chromium shows it, scripts run."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--virtual-time-budget=5000", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "browser",
    [False, pytest.param(True, marks=pytest.mark.skipif(BROWSER is None, reason="No Chromium."))],
)
def test_every_internal_link_leads_somewhere(site, browser):
    def text(path):
        return rendered(f"file://{path}") if browser else path.read_text("utf-8")

    pages = {path: Links(text(path)) for path in site.rglob("*.html")}
    assert len(pages) > 30
    broken, followed = [], 0
    for path, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            followed += 1
            fragment = unquote(parts.fragment)
            state = path.parent.name == "explorer" and "=" in fragment  # the sliders' places
            known = place not in pages or not fragment or fragment in pages[place].places or state
            if not (place.is_file() and known) and not fragment.startswith("__"):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert followed > 500
    assert not broken, "\n".join(sorted(set(broken))[:20])


@pytest.mark.slow
def test_the_gallery_shows_what_the_repository_keeps(site):
    text = (site / "gallery.md").read_text()
    for found in gallery.experiments(ROOT):
        assert f"reproduce --only {found.name} " in text
        kept = gallery.packed(found.name) or list(found.records("paper").glob("*.json"))
        assert bool(kept) == (site / "gallery" / f"{found.name}.png").is_file()
        if kept:
            with (site / "gallery" / f"{found.name}.csv").open() as file:
                assert len(list(csv.DictReader(file))) >= len(kept)
            assert f"gallery/{found.name}.csv" in text
    assert len(list((site / "gallery").glob("*.png"))) >= 4


@pytest.mark.parametrize("path", sorted(gallery.PACKED.glob("*.json.gz")), ids=lambda p: p.name)
def test_records_of_the_gallery_are_those_of_the_scripts(path):
    name = path.name.removesuffix(".json.gz")
    listed = overrides._configs(load(ROOT / "simulations" / f"{name}.py"), "quick")

    def anywhere(text):
        return json.dumps({key: v for key, v in json.loads(text).items() if key != "cores"})

    kept = [to_json(record["config"]) for record in gallery.packed(name)]
    assert listed, "the script names its records"
    assert sorted(map(anywhere, kept)) == sorted(map(anywhere, listed)), (
        f"run: nfl-pruning reproduce --only {name} && python docs/site/gallery.py {name}"
    )
    assert sorted(map(anywhere, kept[1:])) != sorted(map(anywhere, listed))


@pytest.mark.slow
def test_pages_are_plain_markdown_too(site):
    listed = re.findall(r"\]\((.*?)\)", (site / "llms.txt").read_text())
    assert len(listed) > 30
    for place in listed:
        assert (site / place).read_text().strip(), place
    assert "::: " not in (site / "start" / "practitioner.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="There is no Chromium here.")
@pytest.mark.parametrize("policy", POINTS)
def test_the_explorer_in_a_browser(site, policy):
    numbers = POINTS[policy] | WHERE
    address = "&".join(f"{name}={value}" for name, value in numbers.items())
    shown = rendered(f"file://{site}/explorer/index.html#{address}")
    exact = solve(GRID_SCRIPT.moved(GRID_SCRIPT.problem(policy), numbers))
    for name in ("cosine", "test_error"):
        found = re.search(rf'id="{policy}-{name}"[^>]*>([-\d.]+)<', shown)
        assert found is not None
        assert abs(float(found[1]) - getattr(exact, name)) < 1.1e-3
    assert "nfl-pruning solve" in shown and "random points" in shown
    assert len(re.findall(r'data-policy="', shown)) == 4
