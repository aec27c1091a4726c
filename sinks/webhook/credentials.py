"""What a request proves itself with: the operator's header fields, and the signature."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sinks.webhook.settings import check_url
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sinks.webhook.settings import WebhookSettings


class Credentials(NamedTuple):
    """Read anew for each delivery, so that a rotated secret counts at once."""

    fields: Mapping[str, str]
    key: bytes | None

    def signature(self, body: bytes, time_s: int) -> dict[str, str]:
        """Return the header field that signs `body` as of `time_s`, seconds since the epoch; none without a key.

        `t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>`, the form that Stripe's webhooks made known.
        """
        if self.key is None:
            return {}
        digest = hmac.new(self.key, b"%d." % time_s + body, hashlib.sha256).hexdigest()
        return {"Vedette-Signature": f"t={time_s},v1={digest}"}


def read_credentials(name: str, settings: WebhookSettings, folder: Path) -> Credentials:
    """Read what stands in files; their paths are relative to `folder`.

    Raises:
        ConfigError: a file can't be read, or holds what no header can carry.
    """
    place = f"sinks.{name}.webhook"
    fields = {field: value.get_secret_value() for field, value in settings.headers.items()}
    for field, path in settings.header_files.items():
        fields[field] = _read(f"{place}.header_files.{field}", folder / path)
    for field, value in fields.items():
        if not value.isascii() or not value.isprintable() or value != value.strip():
            message = f"{place}.headers.{field}: the value holds what no header can carry. Use visible ASCII characters"
            raise ConfigError(message)
    key: str | None = None
    if settings.secret_file is not None:
        key = _read(f"{place}.secret_file", folder / settings.secret_file)
    elif settings.secret is not None:
        key = settings.secret.get_secret_value()
    if key == "":
        raise ConfigError(f"{place}.secret: the secret is empty. Set one, or remove the key to send without signature")
    return Credentials(fields, key.encode() if key is not None else None)


def read_url(name: str, settings: WebhookSettings, folder: Path) -> str:
    """Return the address to post to.

    Raises:
        ConfigError: its file can't be read, or holds no address.
    """
    if settings.url is not None:
        return settings.url.get_secret_value()
    assert settings.url_file is not None, "one of both is set"
    place = f"sinks.{name}.webhook.url_file"
    url = _read(place, folder / settings.url_file)
    try:
        check_url(url)
    except ValueError as error:
        raise ConfigError(f"{place}: what {settings.url_file} holds {error}") from None
    return url


def _read(place: str, path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        message = f"{place}: cannot read {path} ({reason}). Name a text file that Vedette's user may read"
        raise ConfigError(message) from error
