"""Call the command line inside the test's process."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from nfl_pruning.cli.main import main


class Ran(NamedTuple):
    """What a command left: exit code and the two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as strict JSON: NaN and Infinity are failures."""
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"not JSON: {name}"))


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
    """Run ``nfl-pruning ARGUMENTS``."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    code = stop.value.code
    out, err = capsys.readouterr()
    return Ran(code if isinstance(code, int) else 0, out, err)
