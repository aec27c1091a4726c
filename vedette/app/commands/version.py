"""`vedette version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Final

from cyclopts import App

from vedette.app.terminal import Format, put_fields, put_json

app = App(name="version", help_epilogue="Example:\n  vedette version --format json")

_PARTS: Final = ("apsw", "msgspec", "orjson", "pydantic", "pysigma", "uvloop")
"""What most bug reports depend on."""


@app.default
def version(*, format: Format = "table") -> int:  # noqa: A002 - the name of the option
    """Show the versions of Vedette and of what it runs on, for bug reports."""
    versions = {"vedette": version_text(), "python": platform.python_version(), "system": platform.platform()}
    versions |= {part: version_of(part) for part in _PARTS}
    if format == "json":
        put_json(versions)
    else:
        put_fields(versions.items())
    return 0


def version_text() -> str:
    """Return Vedette's own version."""
    return version_of("vedette")
