"""The checkout's experiments: ``simulations/NAME.py`` computes records, ``figures/NAME.py`` draws.

A simulation script has ``NAME`` and ``run(preset, store, progress)``, where ``progress(done,
total)`` reports finished steps. A figure script has ``NAME`` and ``draw(store, out)``, which
returns the paths that it wrote.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_choice

PRESETS = ("quick", "paper")

ProgressCallback = Callable[[int, int], Any]


@dataclass(frozen=True)
class Experiment:
    """A pair of scripts of the same name in a checkout."""

    root: Path
    name: str
    summary: str

    @property
    def simulation(self) -> Path:
        """The script that computes."""
        return self.root / "simulations" / f"{self.name}.py"

    @property
    def figure(self) -> Path:
        """The script that draws."""
        return self.root / "figures" / f"{self.name}.py"

    def records(self, preset: str) -> Path:
        """The folder of this experiment's records."""
        return records_folder(self.simulation, preset)


def records_folder(simulation: Path, preset: str) -> Path:
    """Where the simulation script ``simulation`` keeps its records."""
    return simulation.parent / "records" / preset / simulation.stem


def experiments(root: Path) -> list[Experiment]:
    """The experiments under ``root``, by name; files that start with an underscore are helpers."""
    paths = sorted((root / "simulations").glob("[!_]*.py"))
    return [Experiment(root, path.stem, _summary(path)) for path in paths]


def checkout(root: Path) -> list[Experiment]:
    """The experiments of a checkout.

    Raises:
        InvalidArgumentError: ``root`` is no checkout.
    """
    found = experiments(root)
    if not found or not (root / "figures").is_dir():
        raise InvalidArgumentError(
            "root must be a checkout of the project, with folders simulations and figures; "
            f"got {str(root)!r}."
        )
    return found


def load(path: Path) -> ModuleType:
    """The module in ``path``, and the neighbours that it imports; Python's path stays as it is."""
    _load_neighbours(path, set())
    return _load_as(f"{path.parent.name}_{path.stem}", path)


def _load_neighbours(path: Path, seen: set[Path]) -> None:
    """Load the modules of the same folder that a script imports, under their plain names."""
    seen.add(path)
    for name in _imported(path):
        neighbour = path.with_name(f"{name}.py")
        if neighbour in seen or not neighbour.is_file():
            continue
        _load_neighbours(neighbour, seen)
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded is None or Path(loaded).resolve() != neighbour.resolve():
            _load_as(name, neighbour)


def neighbours(path: Path) -> list[ModuleType]:
    """The loaded modules of the same folder that a script imports, directly or by way of others."""
    seen: set[Path] = set()
    _load_neighbours(path, seen)
    return [sys.modules[found.stem] for found in seen - {path}]


def _imported(path: Path) -> list[str]:
    """First parts of the names of all modules that a script imports, wherever in it."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= dict.fromkeys(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = None
    return list(found)


def _load_as(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"{path} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run_alone(
    path: str,
    run: Callable[[str, Any, ProgressCallback], Any],
    *,
    presets: Collection[str] = PRESETS,
) -> None:
    """The ``main`` of a simulation script: ``python simulations/NAME.py --preset quick``.

    Args:
        path: the script's ``__file__``.
        run: its ``run``.
        presets: what it knows; more than the usual ones, perhaps.
    """
    from nfl_pruning.experiments.compilation import use_compilation_cache
    from nfl_pruning.experiments.progress import steps
    from nfl_pruning.records import RecordStore

    @click.command(help=f"Compute the records of {Path(path).stem}; finished ones are kept.")
    @click.option("--preset", default="quick", show_default=True, help=", ".join(presets) + ".")
    def command(preset: str) -> None:
        try:
            check_choice("preset", preset, presets)
        except InvalidArgumentError as error:
            raise click.ClickException(str(error)) from None
        use_compilation_cache()
        folder = records_folder(Path(path), preset)
        with steps(Path(path).stem) as progress:
            run(preset, RecordStore(folder), progress)
        click.echo(f"Records are in {folder}.")

    command()


def draw_alone(path: str, draw: Callable[[Any, Path], list[Path]]) -> None:
    """The ``main`` of a figure script: ``python figures/NAME.py --preset quick``.

    Args:
        path: the script's ``__file__``.
        draw: its ``draw``.
    """
    from nfl_pruning.records import RecordStore

    @click.command(help=f"Draw {Path(path).stem} from its records.")
    @click.option("--preset", default="quick", show_default=True, help="As it was computed.")
    def command(preset: str) -> None:
        here = Path(path)
        simulation = here.parent.parent / "simulations" / here.name
        store = RecordStore(records_folder(simulation, preset))
        for written in draw(store, here.parent / "output"):
            click.echo(written)

    command()


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0]
