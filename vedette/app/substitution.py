"""`${NAME}` and `${NAME:-default}` in configuration values, from the environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE: Final = re.compile(r"\$\$|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace the references in a value; `$$` is a literal `$`, and a `$` before anything else stays.

    As in a shell, the default counts where the variable is unset or empty; without a default it may be empty.

    Raises:
        ConfigError: a variable is not set and has no default, or `${` begins no reference.
    """

    def value_of(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if found.group() == "$$":
            return "$"
        if name is None:
            raise ConfigError(
                "`${` must go on with a variable's name and `}`; write `$${` for the characters themselves"
            )
        value = environment.get(name, "")
        if not value and default is not None:
            return default
        if name not in environment:
            raise ConfigError(f"environment variable `{name}` is not set; set it, or write ${{{name}:-default}}")
        return value

    return _REFERENCE.sub(value_of, text)
