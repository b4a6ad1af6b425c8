"""What the site holds beside its pages: API, commands, gallery, plain markdown and llms.txt.

All of it is written while the site is built, from the code and the scripts as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
NOUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "data": (
        "Data sets: from a name, a file, a table or arrays.",
        (
            "nfl_pruning.data.load.load_dataset",
            "nfl_pruning.data.dataset.Dataset",
            "nfl_pruning.data.dataset.make_dataset",
            "nfl_pruning.data.columns.Columns",
        ),
    ),
    "pruning": (
        "Pruning a data set, and its outcome.",
        (
            "nfl_pruning.pruning.prune",
            "nfl_pruning.pruning.Pruned",
            "nfl_pruning.pruning.resize",
            "nfl_pruning.pruning.load_pruned",
            "nfl_pruning.pruning.score_logits",
        ),
    ),
    "adapters": (
        "Outcomes in the tools that people train with.",
        (
            "nfl_pruning.adapters.tables.add_columns",
            "nfl_pruning.adapters.tables.result_columns",
            "nfl_pruning.adapters.files.save_table",
            "nfl_pruning.adapters.weights.kept_weights",
            "nfl_pruning.adapters.weights.normalised",
            "nfl_pruning.adapters.pytorch.to_torch",
            "nfl_pruning.adapters.hugging_face.to_hf",
            "nfl_pruning.adapters.sampler.PruningSampler",
        ),
    ),
    "problems": (
        "What is solved and simulated.",
        (
            "nfl_pruning.problem.Problem",
            "nfl_pruning.problem.Student",
            "nfl_pruning.problem.Teacher",
        ),
    ),
    "limits": (
        "Limits of many samples.",
        (
            "nfl_pruning.theory.solve.solve",
            "nfl_pruning.theory.solution.Solution",
            "nfl_pruning.theory.sweep.sweep",
            "nfl_pruning.numerics.status.Status",
        ),
    ),
    "scores": (
        "Scores: what makes a sample hard.",
        (
            "nfl_pruning.scores.base.Score",
            "nfl_pruning.scores.base.Context",
            "nfl_pruning.scores.base.register_score",
        ),
    ),
    "selections": (
        "Selections: which samples stay, and with which weights.",
        (
            "nfl_pruning.selections.finite.select",
            "nfl_pruning.selections.base.make_selection",
            "nfl_pruning.selections.base.register_selection",
            "nfl_pruning.selections.base.Stratum",
        ),
    ),
}
API_START = """# API by noun

Everything that is public can be imported from `nfl_pruning`, or from the module that its entry
names.

"""
COMMANDS_START = """# Commands

`--json` prints strict JSON and nothing else; bad input ends with one sentence and exit code 2.

"""
GALLERY_START = """# Gallery

Each figure is computed by one script and drawn by another. Pictures and tables here are drawn and
written, when the site is built, from records that the repository keeps; a figure without them is a
command away.

"""
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)]+)\)")
AS_WRITTEN = "NFL_PRUNING_PAGES_AS_WRITTEN"  # spares running the pages, as tests do that anyway
_markdown: dict[str, str] = {}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from code."""
    pages = {**_api(), "cli/index.md": _commands(), "gallery.md": _gallery(files, config)}
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files outside the documentation become their names; llms.txt gets the text.

    The page of a command gets all its options.
    """
    folder, _, name = page.file.src_uri.removesuffix(".md").partition("/")
    if folder == "cli" and name != "index":
        markdown += _options(name)

    def outside(found: re.Match[str]) -> str:
        place = (ROOT / "docs" / page.file.src_uri).parent / found[2].split("#")[0]
        inside = (ROOT / "docs") in place.resolve().parents
        return found[0] if inside else f"`{place.resolve().relative_to(ROOT).as_posix()}`"

    markdown = LINK.sub(outside, markdown)
    _markdown[page.file.src_uri] = markdown
    return markdown


def on_post_build(config: Any) -> None:
    """Write each page as plain markdown, and llms.txt with all of them."""
    site = Path(config.site_dir)
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for place, text in sorted(_markdown.items()):
        out = site / place
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        title = next((line[2:] for line in text.splitlines() if line.startswith("# ")), place)
        lines.append(f"- [{title}]({place})")
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _api() -> dict[str, str]:
    lines = API_START.splitlines()
    pages = {}
    for noun, (sentence, members) in NOUNS.items():
        lines.append(f"* [{noun.capitalize()}]({noun}.md): {sentence}")
        parts = "\n\n".join(f"::: {member}" for member in members)
        pages[f"api/{noun}.md"] = f"# {noun.capitalize()}\n\n{sentence}\n\n{parts}\n"
    return {"api/index.md": "\n".join(lines) + "\n", **pages}


def _commands() -> str:
    """The page that lists the commands."""
    from nfl_pruning.cli.main import COMMANDS

    lines = COMMANDS_START.splitlines()
    for name in COMMANDS:
        told = _command(name)[0].get_short_help_str(120)
        lines.append(f"* [nfl-pruning {name}]({name}.md): {told}")
    return "\n".join(lines) + "\n"


def _command(name: str) -> tuple[Any, Any]:
    """A command, and its context."""
    import click

    from nfl_pruning.cli.main import main

    context = click.Context(main, info_name="nfl-pruning")
    command = main.get_command(context, name)
    assert command is not None
    return command, click.Context(command, parent=context, info_name=name, max_content_width=92)


def _options(name: str) -> str:
    """What ``--help`` says, as the end of a command's page."""
    command, context = _command(name)
    return f"\n## All options\n\n```text\n{command.get_help(context)}\n```\n"


def _gallery(files: Any, config: Any) -> str:
    """The page, its pictures and its tables, from records that the repository keeps."""
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    import gallery

    lines = GALLERY_START.splitlines()
    for found in gallery.experiments(ROOT):
        name, (title, _, sentence) = found.name, found.summary.partition(": ")
        lines += [f"## {title}", "", sentence[:1].upper() + sentence[1:], ""]
        shown = gallery.shown(found)
        if shown is not None:
            for ending, content in ((".png", shown.picture), (".csv", shown.table)):
                place = f"gallery/{name}{ending}"
                files.append(File.generated(config, place, content=content))
            about = f"preset {shown.preset}, [numbers as a table](gallery/{name}.csv)"
            lines += [f"![{title}](gallery/{name}.png)", "", f"*Shown: {about}.*", ""]
        lines += [f"Computed by `simulations/{name}.py`, drawn by `figures/{name}.py`:", ""]
        lines += ["```bash", f"nfl-pruning reproduce --only {name} --table {name}.csv", "```", ""]
    return "\n".join(lines)


def on_config(config: Any) -> Any:
    """Pages that the navigation does not name come last under Evidence: none is out of reach."""
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    left = [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in named]
    for part in config.nav:
        if "Evidence" in part:
            part["Evidence"] += [{_title(ROOT / "docs" / name): name} for name in sorted(left)]
    return config


def _title(page: Path) -> str:
    return page.read_text("utf-8").partition("\n")[0].removeprefix("# ")


def on_pre_build(config: Any) -> None:
    """Forget an earlier build's pages, and run the code of those to come.

    Raises:
        PluginError: a page shows other output than its code prints.
    """
    _markdown.clear()
    shutil.rmtree(Path(config.site_dir), ignore_errors=True)
    if AS_WRITTEN not in os.environ:
        _run_pages()


def _run_pages() -> None:
    """Run every page's Python blocks and console commands, and compare what they print."""
    sys.path.insert(0, str(ROOT / "docs" / "generate"))
    import generated

    for path in [*generated.pages(), *generated.command_pages()]:
        text = path.read_text("utf-8")
        shown = [output for _, output in generated.examples(text)]
        if generated.outputs(text) != shown or generated.with_consoles(text) != text:
            raise PluginError(f"{path.name} is stale; run: python docs/generate/generated.py")
