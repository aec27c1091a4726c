"""TLS of the metrics endpoint: a context from certificate files, and their reload when they change."""

from __future__ import annotations

import logging
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collector.sources.http.settings import TlsSettings


@dataclass(frozen=True, slots=True)
class CertificateUnusable(OperationalEvent):
    """Changed certificate files can't be used; the former ones stay."""

    component: ClassVar = "metrics"
    message: ClassVar = "changed certificate files can't be used; the former certificate stays"
    level: ClassVar = logging.ERROR
    metric: ClassVar = Counter(
        "vedette_metrics_certificate_failures_total", "Changed certificate files of the metrics port that were refused."
    )
    error: str


class Certificate:
    """The port's TLS context, kept up with its files. New handshakes see a reload."""

    def __init__(self, settings: TlsSettings) -> None:
        """Read all files.

        Raises:
            ConfigError: a file can't be read or used.
        """
        self._settings = settings
        self._seen = self._stamps()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if settings.version_min == "1.3" else ssl.TLSVersion.TLSv1_2
        )
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        self._load()
        if settings.client_ca_file is not None:
            self._load_authorities(settings.client_ca_file)

    def refresh(self) -> None:
        """Read certificate and key again if a file has changed; report a failure and keep what there was."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._load()
            except ConfigError as error:
                CertificateUnusable(str(error)).emit()

    def _load(self) -> None:
        cert_file, key_file = self._settings.cert_file, self._settings.key_file
        try:
            # An encrypted key would make OpenSSL ask on the terminal: an empty password fails instead.
            self.context.load_cert_chain(cert_file, key_file, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"metrics.tls: cert_file {cert_file} and key_file {key_file} can't be used ({_reason(error)})."
                " Name a readable PEM certificate chain and its unencrypted PEM key"
            ) from error

    def _load_authorities(self, path: str) -> None:
        try:
            self.context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"metrics.tls.client_ca_file: {path} can't be used ({_reason(error)}). Name a readable PEM file with"
                " the CAs of your scrapers"
            ) from error
        self.context.verify_mode = ssl.CERT_REQUIRED

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [_stamp(path) for path in (self._settings.cert_file, self._settings.key_file)]


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat would do no more
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
