"""Stand-in until `collector.sources.SOURCES` and `sinks.SINKS` are there; then config.py imports those."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import BaseModel, ConfigDict


class _StoreSettings(BaseModel):
    """The embedded store."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _StdoutSettings(BaseModel):
    """Standard output."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _sources() -> dict[str, tuple[type[BaseModel], Any]]:
    found = getattr(importlib.import_module("collector.sources"), "SOURCES", None)
    if found:
        return dict(found)
    modules = {
        "http": ("collector.sources.http.settings", "HttpSettings"),
        "files": ("collector.sources.files.settings", "FilesSettings"),
        "stdin": ("collector.sources.stdin", "StdinSettings"),
    }
    return {kind: (getattr(importlib.import_module(module), name), None) for kind, (module, name) in modules.items()}


def _sinks() -> dict[str, tuple[type[BaseModel], Any]]:
    found = getattr(importlib.import_module("sinks"), "SINKS", None)
    return dict(found) if found else {"store": (_StoreSettings, None), "stdout": (_StdoutSettings, None)}


SOURCES = _sources()
SINKS = _sinks()
