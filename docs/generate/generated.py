"""What documents hold that the code decides: the map, the glossary, the examples' output.

``python docs/generate/generated.py`` rewrites them; ``test_map.py`` and ``test_readme.py`` fail
while they are stale.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from nfl_pruning import LINKS, LOSSES, SCORES, SELECTIONS, glossary
from nfl_pruning.cli.main import main as main_command
from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.experiments.scripts import experiments
from nfl_pruning.report.catalogue import statements_page, statements_table

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
STATEMENTS_PAGE = ROOT / "docs" / "statements.md"
SHELL = re.compile(r"```(?:bash|console)\n(.*?)```", re.DOTALL)
MAP = re.compile(r"(<!-- map:.*?-->\n).*?(<!-- end of map -->)", re.DOTALL)
CONSOLE = re.compile(r"```console\n\$ (.*?)\n(.*?)```", re.DOTALL)
EXAMPLE = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)

SOLVERS = {
    "`solve`: the proportional limit": ("nfl_pruning/theory/proportional.py", "proportional"),
    "`sweep`: whole grids in one program": ("nfl_pruning/theory/sweep.py", "sweep"),
    "`limit_function`: gradients": ("nfl_pruning/theory/derivatives/limit_function.py", "sweep"),
    "`optimal_rule`: the best rule": ("nfl_pruning/theory/optimal/best_rule.py", "optimal"),
    "`solve` with `inputs`: any covariance": ("nfl_pruning/theory/spectrum.py", "spectrum"),
    '`solve(limit="abundant")`: features fixed': (
        "nfl_pruning/theory/abundant/limit.py",
        "abundant",
    ),
    "`existence_threshold`: when fits exist": (
        "nfl_pruning/theory/existence/threshold.py",
        "separability",
    ),
    "`simulate`: trials at finite size": ("nfl_pruning/montecarlo/engine.py", "montecarlo"),
    "`select`: which samples stay": ("nfl_pruning/selections/finite.py", "selections"),
    "`prune`: real data sets": ("nfl_pruning/pruning/run.py", "prune"),
    "`load_dataset`: files, tables and arrays": ("nfl_pruning/data/load.py", "formats"),
    "`score_logits`: scores of your own model": ("nfl_pruning/pruning/own_logits.py", "own_logits"),
    "`resize`: another budget, nested": ("nfl_pruning/pruning/resizing.py", "nested"),
    "tables, weights, trainers": ("nfl_pruning/adapters/__init__.py", "adapters"),
    "rows of a test part": ("nfl_pruning/data/parts.py", "protected"),
    "`advise`: should these data be pruned?": ("nfl_pruning/realdata/advise.py", "advise"),
    "`score`: by networks": ("nfl_pruning/networks/score.py", "network_cli"),
    "`train`: on what was kept": ("nfl_pruning/networks/train.py", "network_cli"),
    "`compare`: a rule against random pruning": (
        "nfl_pruning/networks/comparison/compare.py",
        "comparisons",
    ),
    "`verify`: statements and their verdicts": ("nfl_pruning/statements/verification.py", "verify"),
    "`find_adversary`: laws on which a score fails": ("nfl_pruning/adversary/find.py", "adversary"),
    "records of results": ("nfl_pruning/records.py", "records"),
    "`reproduce --set`: another number": (
        "nfl_pruning/experiments/overrides.py",
        "figures_as_data",
    ),
    "command line": ("nfl_pruning/cli/main.py", "cli"),
}


def readme_map() -> str:
    """The README's tables: registered things and where they live, solvers, figures."""
    rows = [
        ("scores", SCORES, lambda score: score.difficulty, "scores"),
        ("protocols", SELECTIONS, lambda selection: selection, "selections"),
        ("links", LINKS, None, "links"),
        ("losses", LOSSES, None, "losses"),
        ("data sets", DATASETS, lambda loader: loader, "data"),
    ]
    text = "| what | where | checked by |\n|---|---|---|\n"
    for kind, registry, code, check in rows:
        text += f"| {kind} | {_members(registry, code)} | {_test(check)} |\n"
    for what, (where, check) in SOLVERS.items():
        text += f"| {what} | {_link(where)} | {_test(check)} |\n"
    text += f"\n{statements_table()}"
    text += "\n| figure | computed by | drawn by |\n|---|---|---|\n"
    for found in experiments(ROOT):
        paths = (f"simulations/{found.name}.py", f"figures/{found.name}.py")
        text += f"| {found.summary} | {_link(paths[0])} | {_link(paths[1])} |\n"
    return text


def _members(registry: Mapping[str, Any], code: Any) -> str:
    """Names of a registry, each linked to the file that defines it."""
    if code is None:  # values without code of their own: the registry's module holds them
        module = next(iter(registry.values())).__class__.__module__.replace(".", "/")
        return f"{', '.join(registry)}: {_link(f'{module}.py')}"
    named = []
    for name, member in registry.items():
        path = Path(inspect.getfile(code(member))).resolve().relative_to(ROOT).as_posix()
        named.append(f"[{name}]({path})")
    return ", ".join(named)


def _link(path: str) -> str:
    if not (ROOT / path).is_file():
        raise FileNotFoundError(f"the map names {path}, which does not exist")
    return f"[{path}]({path})"


def _test(name: str) -> str:
    """The test of that name; a dash where there is none."""
    path = f"tests/test_{name}.py"
    return _link(path) if (ROOT / path).is_file() else "–"


def glossary_page() -> str:
    """The page docs/glossary.md."""
    text = "Symbols of the mathematics and their names in the code."
    return f"# Glossary\n\n{text}\n\n{glossary.markdown()}"


def with_map(readme: str) -> str:
    """The README with its map rebuilt."""
    return MAP.sub(lambda found: found[1] + "\n" + readme_map() + "\n" + found[2], readme)


def examples(readme: str) -> list[tuple[str, str]]:
    """The README's Python blocks, each with the output that is printed below it."""
    return [(found[1], found[2] or "") for found in EXAMPLE.finditer(readme)]


def outputs(readme: str) -> list[str]:
    """What the Python blocks print when they run one after the other."""
    scope: dict[str, Any] = {"__name__": "readme"}
    printed, registered = [], set(SCORES)
    try:
        for code, _ in examples(readme):
            with contextlib.redirect_stdout(io.StringIO()) as captured:
                exec(compile(code, "README.md", "exec"), scope)
            printed.append(captured.getvalue())
    finally:
        for name in set(SCORES) - registered:  # the example's score is not the package's
            del SCORES._members[name]
    return printed


def with_outputs(readme: str) -> str:
    """The README with the examples' output rewritten."""
    printed = iter(outputs(readme))

    def rewrite(found: re.Match[str]) -> str:
        output = next(printed)
        return f"```python\n{found[1]}```\n" + (f"\n```text\n{output}```\n" if output else "")

    return EXAMPLE.sub(rewrite, readme)


def consoles(text: str) -> list[tuple[str, str]]:
    """The commands of a page's console blocks, each with the output that is printed below it."""
    return [(found[1], found[2]) for found in CONSOLE.finditer(text)]


def console_output(command: str) -> str:
    """What ``nfl-pruning ...`` prints, run in this process."""
    name, *arguments = shlex.split(command)
    if name != "nfl-pruning":
        raise ValueError(f"a console block holds a command of nfl-pruning; got {command!r}")
    done = CliRunner(env={"COLUMNS": "80"}).invoke(main_command, arguments)
    if done.exit_code:
        raise ValueError(f"{command!r} fails: {done.output}")
    lines = [line.rstrip() for line in done.output.rstrip().splitlines()]
    return "\n".join(lines) + "\n"


def with_consoles(text: str) -> str:
    """The page with the output of its commands rewritten."""
    return CONSOLE.sub(
        lambda found: f"```console\n$ {found[1]}\n{console_output(found[1])}```", text
    )


def commands(text: str) -> list[list[str]]:
    """The words of every ``nfl-pruning`` command in a page's shell blocks, comments left out."""
    found = []
    for block in SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["nfl-pruning"]:
                found.append(words[1:])
    return found


def command_pages() -> list[Path]:
    """The pages on how to use each command."""
    return sorted((ROOT / "docs" / "cli").glob("*.md"))


def pages() -> list[Path]:
    """Pages of the documentation whose code is run and whose output is written by this script."""
    folders = [ROOT / "docs" / name for name in ("start", "tutorials", "how-to")]
    found = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    apart = "weights.md"  # needs many libraries, and has a test of its own
    return [path for path in found if path.name != apart and examples(path.read_text("utf-8"))]


def main() -> None:
    """Rewrite everything that is generated."""
    README.write_text(with_outputs(with_map(README.read_text())), encoding="utf-8")
    GLOSSARY.write_text(glossary_page(), encoding="utf-8")
    STATEMENTS_PAGE.write_text(statements_page(), encoding="utf-8")
    for path in command_pages():
        path.write_text(with_consoles(path.read_text("utf-8")), encoding="utf-8")
    for path in pages():
        path.write_text(with_outputs(path.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
