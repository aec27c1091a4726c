"""What `vedette doctor` hears: one thing that was tried, and what is wrong with it."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """One thing that was tried. All texts are safe to show; what a server said was clipped and escaped.

    `what`: what was tried (`log in at https://search.example:9200 as vedette`). `problem`: what went wrong, "" if
    nothing. `remedy`: what to do about it, "" if there is no problem.
    """

    what: str
    problem: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return not self.problem
