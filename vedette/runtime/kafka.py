"""How to reach a Kafka cluster: what its source and its sink are told alike, and what its clients make of it.

No client library is known here: the options are those that aiokafka's clients share.
"""

from __future__ import annotations

import logging
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from vedette.runtime.credential_files import read_secret_file
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
"""What Kafka takes as the name of a topic (org.apache.kafka.common.internals.Topic)."""
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_PORT_MAX: Final = 65_535


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Addresses = Annotated[
    tuple[str, ...], Field(min_length=1), BeforeValidator(_as_list, json_schema_input_type=str | list[str])
]


def check_topic(topic: str) -> str:
    """Return the name of a topic.

    Raises:
        ValueError: Kafka knows no such names.
    """
    if not TOPIC.fullmatch(topic):
        raise ValueError("a topic's name has letters, digits, `.`, `_` and `-`, at most 249 of them")
    return topic


class KafkaConnection(BaseModel):
    """Where the cluster is, and who asks."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    bootstrap_servers: Addresses
    """Addresses (`host:port`) of some brokers, one or a list; they name the others. Required."""
    tls: bool = False
    """Whether connections are encrypted. Default: false."""
    ca_file: Path | None = None
    """PEM file with the CAs that the brokers' certificates may be signed by. Default: those of the system."""
    client_cert_file: Path | None = None
    """PEM file with a certificate to log in with, followed by its intermediates. Default: none."""
    client_key_file: Path | None = None
    """PEM file with that certificate's private key, not encrypted. Default: none."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How `username` proves itself. PLAIN shows the password to the broker: use it with `tls`. Default:
    SCRAM-SHA-512."""
    username: str = ""
    """Who logs in, by SASL; without it, nobody does. Default: none."""
    password: SecretStr | None = None
    """Password of `username`. Default: none."""
    password_file: Path | None = None
    """File that holds the password; instead of `password`. Default: none."""

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses_have_ports(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            found = _ADDRESS.fullmatch(address)
            if not found or not 0 < int(found[1]) <= _PORT_MAX:
                raise ValueError("each address must be a host and a port, without a scheme: kafka-0.example:9092")
        return addresses

    @model_validator(mode="after")
    def _secrets_are_paired(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("set password or password_file, not both")
        if bool(self.username) != (self.password is not None or self.password_file is not None):
            raise ValueError("username and its password (password or password_file) go together")
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("client_cert_file and client_key_file go together")
        if not self.tls and (self.ca_file is not None or self.client_cert_file is not None):
            raise ValueError("ca_file and client_cert_file need tls: true")
        return self

    def shown(self) -> str:
        """Say the addresses in a line."""
        return ", ".join(self.bootstrap_servers)


def client_options(place: str, connection: KafkaConnection, folder: Path) -> Mapping[str, Any]:
    """Read the files, and say what a client is made with; blocking. `place` has the keys: `sinks.bus.kafka`.

    Paths are relative to `folder`.

    Raises:
        ConfigError: a file can't be used; names its key.
    """
    # A broker that is away is worth a line to aiokafka ten times a second; source and sink say so themselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"bootstrap_servers": list(connection.bootstrap_servers), "client_id": "vedette"}
    if connection.tls:
        options["ssl_context"] = _tls_context(place, connection, folder)
    if connection.username:
        options["sasl_mechanism"] = connection.sasl_mechanism
        options["sasl_plain_username"] = connection.username
        options["sasl_plain_password"] = _read_password(place, connection, folder)
    login = "SASL_" if connection.username else ""
    options["security_protocol"] = f"{login}SSL" if connection.tls else f"{login}PLAINTEXT"
    return options


def _read_password(place: str, connection: KafkaConnection, folder: Path) -> str:
    if connection.password is not None:
        return connection.password.get_secret_value()
    assert connection.password_file is not None, "one of both is set with a username"
    return read_secret_file(f"{place}.password_file", folder / connection.password_file)


def _tls_context(place: str, connection: KafkaConnection, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if connection.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        path = folder / connection.ca_file
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise _unusable(f"{place}.ca_file", path, error) from error
    if connection.client_cert_file is not None and connection.client_key_file is not None:
        path = folder / connection.client_cert_file
        try:
            # An encrypted key would make OpenSSL ask on the terminal: an empty password fails instead.
            context.load_cert_chain(path, folder / connection.client_key_file, password="")
        except (OSError, ValueError) as error:
            raise _unusable(f"{place}.client_cert_file", path, error) from error
    return context


def _unusable(key: str, path: Path, error: OSError | ValueError) -> ConfigError:
    reason = "no PEM file with certificates" if isinstance(error, ssl.SSLError | ValueError) else str(error)
    message = f"{key}: {path} (with its key, if it has one) can't be used ({reason})"
    return ConfigError(f"{message}. Name a PEM file that Vedette's user may read")
