"""TLS of the port: a context from certificate files, and their reload when they change (cert-manager renews them)."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from collector.sources.http.events import CertificateRead, CertificateUnusable
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collector.sources.http.settings import TlsSettings


class Certificates:
    """The port's TLS context, kept up with its files. New handshakes see a reload, open connections don't."""

    def __init__(self, source: str, settings: TlsSettings) -> None:
        """Read all files.

        Raises:
            ConfigError: a file can't be read or used; names its key.
        """
        self._source = source
        self._settings = settings
        self._seen = self._stamps()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if settings.version_min == "1.3" else ssl.TLSVersion.TLSv1_2
        )
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        self.context.set_alpn_protocols(["http/1.1"])
        self._load_chain()
        if settings.client_ca_file is not None:
            self._load_authorities(settings.client_ca_file)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def refresh(self) -> None:
        """Read the certificate and key again if a file has changed; report a failure and keep what there was."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self._load_chain()
        except ConfigError as error:
            CertificateUnusable(self._source, str(error)).emit()
        else:
            CertificateRead(self._source).emit()

    def _load_chain(self) -> None:
        settings = self._settings
        for key, path in (("cert_file", settings.cert_file), ("key_file", settings.key_file)):
            self._must_open(key, path)
        try:
            # An encrypted key would make OpenSSL ask on the terminal: an empty password fails instead.
            self.context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"sources.{self._source}.http.tls: cert_file {settings.cert_file} and key_file {settings.key_file} "
                f"do not work together ({_reason(error)}). Name a PEM certificate chain and its unencrypted PEM key"
            ) from error

    def _load_authorities(self, path: str) -> None:
        self._must_open("client_ca_file", path)
        try:
            self.context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"sources.{self._source}.http.tls.client_ca_file: {path} holds no CA certificates ({_reason(error)}). "
                "Name a PEM file with the CAs of your clients"
            ) from error

    def _must_open(self, key: str, path: str) -> None:
        try:
            with open(path, "rb"):  # noqa: PTH123 - only whether it opens
                pass
        except OSError as error:
            raise ConfigError(
                f"sources.{self._source}.http.tls.{key}: cannot read {path} ({error.strerror}). "
                "Name a file that Vedette's user may read"
            ) from error

    def _stamps(self) -> list[tuple[int, int, int]]:
        """Identity of both files; unreadable ones count as such."""
        return [_stamp(path) for path in (self._settings.cert_file, self._settings.key_file)]


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat would do no more
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
