"""Writes the reference pages of docs/ from the code. A test compares them with what this makes.

python -m tools.reference
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.reference import alert_fields, capacity, cli, configuration, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGES: Final[dict[str, Callable[[str], str]]] = {
    "capacity.md": capacity.render,
    "cli.md": cli.render,
    "configuration.md": configuration.render,
    "metrics.md": metrics.render,
    "reference/alert-fields.md": alert_fields.render,
}
"""What makes each page of what it is: prose stays, tables are written anew."""

if __name__ == "__main__":
    for name, render in PAGES.items():
        (DOCS / name).write_text(render((DOCS / name).read_text("utf-8")), "utf-8")
