"""All keys at the end of docs/configuration.md, as `vedette config schema --format markdown` writes them."""

from __future__ import annotations

from typing import Final

from vedette.app.config_reference import markdown

MARK: Final = "<!-- What follows is the output of `vedette config schema --format markdown`. -->\n\n"


def render(page: str) -> str:
    """Write what stands below the mark anew."""
    return page.partition(MARK)[0] + MARK + markdown()
