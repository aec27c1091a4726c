"""What can be said about an OpenSearch, and what is said about what can't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from sinks.opensearch import OpenSearchSettings
from sinks.opensearch.settings import read_password, tls_context
from vedette.schema.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "https://search:9200",
        "http://127.0.0.1",
        "https://[::1]:9200/",
        "https://proxy.example/search/",
        ["https://a:9200", "https://b:9200"],
    ],
    ids=str,
)
def test_addresses(url: Any) -> None:
    assert OpenSearchSettings.model_validate({"url": url}).url == tuple([url] if isinstance(url, str) else url)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"url": "search:9200"}, "must begin with"),
        ({"url": ""}, "must begin with"),
        ({"url": []}, "at least 1"),
        ({"url": "https://"}, "must begin with"),
        ({"url": "https://h:99999"}, "must begin with"),
        ({"url": "https://h:0"}, "must begin with"),
        ({"url": "https://[::1"}, "must begin with"),
        ({"url": "https://h/a b"}, "must begin with"),
        ({"url": "https://h/\n"}, "must begin with"),
        ({"url": "https://vedette:hunter2@h"}, "use username"),
        ({"url": "https://vedette@h"}, "use username"),
        ({"url": "https://h/?a=hunter2"}, "leave out"),
        ({"url": "https://h/#a"}, "leave out"),
        ({"index_prefix": "Vedette"}, "small letters"),
        ({"index_prefix": "_vedette"}, "small letters"),
        ({"index_prefix": ""}, "small letters"),
        ({"index_prefix": "a*"}, "small letters"),
        ({"index_prefix": "a,b"}, "small letters"),
        ({"index_prefix": "a" * 101}, "small letters"),
        ({"username": "vedette"}, "go together"),
        ({"password": "hunter2"}, "go together"),
        ({"username": "a:b", "password": "hunter2"}, "colon"),
        ({"username": "a", "password": "hunter2", "password_file": "p"}, "not both"),
        ({"client_cert_file": "a"}, "go together"),
        ({"client_key_file": "a"}, "go together"),
        ({"url": "http://h", "ca_file": "a"}, "https"),
        ({"timeout_s": 0}, "greater than"),
        ({"bulk_bytes_max": 10}, "greater than"),
        ({"verify": False}, "Extra"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_without_secrets(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text) as raised:
        OpenSearchSettings.model_validate(wrong)
    assert "hunter2" not in str(raised.value)


def test_a_password_comes_from_its_file_without_the_line_break(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" pass word \r\n", "utf-8")
    found = OpenSearchSettings(username="vedette", password_file=Path("password"))
    assert read_password("search", found, tmp_path) == " pass word "
    given = OpenSearchSettings(username="vedette", password=SecretStr("hunter2"))
    assert read_password("search", given, tmp_path) == "hunter2"
    assert read_password("search", OpenSearchSettings(), tmp_path) == ""


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_a_password_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    found = OpenSearchSettings(username="vedette", password_file=Path("password"))
    with pytest.raises(ConfigError, match=r"sinks\.search\.opensearch\.password_file: cannot read .* Name a text file"):
        read_password("search", found, tmp_path)


def test_certificates(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("vedette").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    client = {"client_cert_file": "client.pem", "client_key_file": "client.pem"}
    context = tls_context("search", OpenSearchSettings.model_validate({"ca_file": "ca.pem", **client}), tmp_path)
    assert context is not None
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] == 1
    assert tls_context("search", OpenSearchSettings(url=("http://h",)), tmp_path) is None


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\n"], ids=["missing", "empty", "broken"])
@pytest.mark.parametrize("key", ["ca_file", "client_cert_file"])
def test_a_certificate_that_cannot_be_used(key: str, content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "file").write_text(content)
    wrong = {key: "file"} | ({"client_key_file": "file"} if key == "client_cert_file" else {})
    with pytest.raises(ConfigError, match=rf"sinks\.search\.opensearch\.{key}: .*can't be used.* Name a PEM file"):
        tls_context("search", OpenSearchSettings.model_validate(wrong), tmp_path)
