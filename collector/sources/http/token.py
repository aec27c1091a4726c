"""The bearer token of a port: out of its setting or file, and fit for a header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import SecretStr


def is_token(text: str) -> bool:
    """Whether a text can be sent as a token: visible ASCII, and some of it."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def read_token(place: str, bearer_token: SecretStr | None, bearer_token_file: str | None) -> bytes | None:
    """Return the token that clients must send, None if none. `place` holds both keys: `sources.falco.http`.

    Raises:
        ConfigError: it can't be read, is empty, or can't stand in a header.
    """
    if bearer_token_file is not None:
        key, token = "bearer_token_file", _read(place, bearer_token_file)
    elif bearer_token is not None:
        key, token = "bearer_token", bearer_token.get_secret_value()
    else:
        return None
    if not is_token(token):
        raise ConfigError(
            f"{place}.{key}: the token is empty or holds characters that no header can carry. "
            "Use visible ASCII characters"
        )
    return token.encode("ascii")


def _read(place: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError(
            f"{place}.bearer_token_file: cannot read {path} ({reason}). Name a text file that Vedette's user may read"
        ) from error
