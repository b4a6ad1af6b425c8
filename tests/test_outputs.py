"""Nothing that the user has is lost, and nothing is found to be impossible after the work."""

import os

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning import archive, validation
from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.run import prune

QUICK = {
    "prune": ("--protocol", "random"),
    "score": ("--model", "logistic", "--epochs", "1", "--check", "0"),
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    return tmp_path / "own.npz"


def run(command, *arguments):
    return CliRunner().invoke(main, [command, *map(str, arguments), *QUICK.get(command, ())])


def names_of(path):
    """The same file by other names."""
    os.symlink(path, path.parent / "link.npz")
    os.link(path, path.parent / "hard.npz")
    (path.parent / "folder").mkdir()
    os.symlink(path.parent, path.parent / "folder" / "up")
    return [path, "own.npz", "./folder/../own.npz", "link.npz", "hard.npz", "folder/up/own.npz"]


@pytest.mark.parametrize("command", QUICK)
def test_an_input_is_never_replaced(data, command):
    before = data.read_bytes()
    for name in names_of(data):
        refused = run(command, data, "--out", name, "--force")
        assert refused.exit_code == 2, refused.output
        assert "that is read" in refused.stderr
        assert data.read_bytes() == before
    assert (data.parent / "link.npz").is_symlink()


def test_what_is_no_plain_file_is_not_read(data):
    os.mkfifo("pipe.csv")  # opening it would wait for ever
    (data.parent / "folder.csv").mkdir()
    for name, words in (("pipe.csv", "no plain file"), ("folder.csv", "a folder, not a file")):
        refused = run("prune", name)
        assert refused.exit_code == 2 and words in refused.stderr


def test_scores_are_inputs_as_well(data):
    np.savez("s.npz", scores=np.arange(40.0))
    before = (data.parent / "s.npz").read_bytes()
    refused = CliRunner().invoke(
        main, ["prune", str(data), "--scores", "s.npz", "--out", "s.npz", "--force"]
    )
    assert refused.exit_code == 2 and (data.parent / "s.npz").read_bytes() == before


def test_the_library_spares_the_file_that_it_read(data):
    pruned = prune(load_dataset(data), seed=0, selection="random")
    with pytest.raises(InvalidArgumentError, match="that is read"):
        pruned.save(data, force=True)


def test_links_are_written_through(data, tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "real.npz").write_text("old")
    os.symlink(tmp_path / "else" / "real.npz", "out.npz")
    os.symlink(tmp_path / "else" / "new.npz", "dangling.npz")
    os.symlink(tmp_path / "gone" / "new.npz", "lost.npz")
    os.symlink("round.npz", "round.npz")
    assert run("prune", data, "--out", "out.npz").exit_code == 2
    assert run("prune", data, "--out", "out.npz", "--force").exit_code == 0
    assert run("prune", data, "--out", "dangling.npz").exit_code == 0
    for name in ("out.npz", "dangling.npz"):
        assert os.path.islink(name)
        with np.load(name) as written:
            assert "indices" in written
    for name in ("lost.npz", "round.npz"):
        refused = run("prune", data, "--out", name, "--force")
        assert refused.exit_code == 2, refused.output
        assert os.path.islink(name)


@pytest.mark.parametrize("command", QUICK)
def test_a_place_that_cannot_be_written_is_found_before_the_work(data, command, monkeypatch):
    """Root may write anywhere: the system's refusal is played."""

    def never(*args, **kwargs):
        raise AssertionError("worked before it looked at the output")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nfl_pruning.data.load_dataset", never)
    (data.parent / "file").write_text("x")
    for place in ("file/x.npz", "gone/x.npz"):
        refused = run(command, data, "--out", place)
        assert refused.exit_code == 2 and "folder that exists" in refused.stderr
    monkeypatch.setattr(validation.tempfile, "TemporaryFile", refuse)
    refused = run(command, data, "--out", "x.npz")
    assert refused.exit_code == 2 and "permission denied" in refused.stderr
    monkeypatch.undo()
    monkeypatch.chdir(data.parent)
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(InvalidArgumentError, match="written to"):
        archive.check_output("x.npz")
    assert sorted(os.listdir()) == ["file", "own.npz"]


def test_records_and_plots_likewise(data, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    os.link(data, "own.png")
    plotted = CliRunner().invoke(main, ["compare", str(data), "--plot", "own.png"])
    assert plotted.exit_code == 2 and "that is read" in plotted.stderr
    monkeypatch.setattr(validation.tempfile, "TemporaryFile", refuse)
    for options in (("--records", "r"), ("--plot", "p.png")):
        refused = CliRunner().invoke(main, ["compare", str(data), *options])
        assert refused.exit_code == 2 and "permission denied" in refused.stderr


def test_plots_that_exist_are_not_replaced_unasked(data, monkeypatch):
    """Refused before the work; with --force the picture appears whole, through a link."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(data.parent))
    quick = ("--model", "logistic", "--epochs", "1", "--repeats", "2", "--keep-fraction", "0.5")
    comparison = ("compare", str(data), *quick, "--protocol", "threshold", "--plot")
    search = ("adversary", "--score", "entropy", "--keep", "easiest", "--effort", "1", "--out")
    (data.parent / "kept.png").write_text("mine")
    os.symlink("kept.png", "link.png")
    for line in (comparison, search):
        refused = CliRunner().invoke(main, [*line, "link.png"])
        assert refused.exit_code == 2 and "pass --force to replace it" in refused.stderr
        assert (data.parent / "kept.png").read_text() == "mine"
    replaced = CliRunner().invoke(main, [*comparison, "link.png", "--force"])
    assert replaced.exit_code == 0, replaced.output
    assert os.path.islink("link.png")
    assert (data.parent / "kept.png").read_bytes().startswith(b"\x89PNG")
    (data.parent / "folder.png").mkdir()
    refused = CliRunner().invoke(main, [*search, "folder.png", "--force"])
    assert refused.exit_code == 2 and "something else" in refused.stderr
