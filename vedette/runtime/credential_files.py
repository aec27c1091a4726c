"""Files that settings name for logging in elsewhere: secrets, and certificates of a TLS client."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read_secret_file(place: str, path: Path) -> str:
    """Read a secret; blocking. `place` is the key that names the file: `sinks.bus.kafka.password_file`.

    Raises:
        ConfigError: it can't be read as text.
    """
    try:
        return path.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        message = f"{place}: cannot read {path} ({reason}). Name a text file that Vedette's user may read"
        raise ConfigError(message) from error


def client_tls_context(
    place: str, folder: Path, ca_file: Path | None, client_cert_file: Path | None, client_key_file: Path | None
) -> ssl.SSLContext:
    """Trust the CAs of `ca_file`, or those of the system, and take the certificate to log in with; blocking.

    Paths are relative to `folder`; `place` has the keys of the files: `sinks.pager.alertmanager`.

    Raises:
        ConfigError: a file can't be used; names its key.
    """
    key, path = "ca_file", folder / (ca_file or "")
    try:
        context = ssl.create_default_context(cafile=str(path) if ca_file else None)
        if client_cert_file is not None and client_key_file is not None:
            key, path = "client_cert_file", folder / client_cert_file
            # An encrypted key would make OpenSSL ask on the terminal: an empty password fails instead.
            context.load_cert_chain(path, folder / client_key_file, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = "no PEM file with certificates" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        message = f"{place}.{key}: cannot use {path} ({reason})"
        raise ConfigError(f"{message}. Name a PEM file that Vedette's user may read") from error
    return context
