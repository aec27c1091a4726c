"""Shows a configuration as it is in force: complete, with defaults, without secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

if TYPE_CHECKING:
    from vedette.app.config import Config

_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]*@")
"""User and password in a URL."""


def plain_config(config: Config) -> dict[str, Any]:
    """Return the configuration as plain data; secrets are masked, kinds that an entry is not are left out."""
    document: dict[str, Any] = config.model_dump(mode="json")
    for entries in (document["sources"], document["sinks"]):
        for name, entry in entries.items():
            entries[name] = {key: value for key, value in entry.items() if value is not None}
    masked: dict[str, Any] = _masked(document)
    return masked


def yaml_config(config: Config) -> str:
    """Render `plain_config` as YAML that `vedette run --config` takes, but for the masked secrets."""
    return yaml.safe_dump(plain_config(config), sort_keys=False, allow_unicode=False, width=100)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_masked(item) for item in cast("list[object]", value)]
    return _CREDENTIALS.sub("**********@", value) if isinstance(value, str) else value
