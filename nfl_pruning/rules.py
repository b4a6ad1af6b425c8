"""Random pruning and the hard rules by name, as figures, statements and optimisers call them."""

from __future__ import annotations

from typing import Any

RULES: dict[str, dict[str, Any]] = {
    "random": {"selection": "random"},
    "aware-hardest": {"score": "el2n", "keep": "hardest"},
    "aware-easiest": {"score": "el2n", "keep": "easiest"},
    "agnostic-hardest": {"score": "margin", "keep": "hardest"},
    "agnostic-easiest": {"score": "margin", "keep": "easiest"},
}
"""What :meth:`Problem.replace` takes. Scores that order alike have one representative."""
