"""TLS, client certificates, and what is said about files that can't be used."""
# ruff: noqa: ASYNC240 - a test may wait for its files

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from collector.sources.http import HttpSettings, HttpSource
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from tests.collector.sources.http.conftest import Authority, Kit, OpenPort, Port


async def test_requests_over_tls(open_port: OpenPort, kit: Kit, authority: Authority) -> None:
    port = await open_port(tls=authority.server())
    assert port.source.urls()[0].startswith("https://")
    client = await port.connect(authority.client())
    for body in (b"a", b"b\n" * 40_000, b"c"):
        client.send(kit.post(body))
        assert (await client.reply()).status == 200
    tls: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "http/1.1"
    client.send(kit.post(b"a") + kit.post(b"b", "/none") + kit.post(b"c", "/", "Connection: close"))
    assert [(await client.reply()).status for _ in range(3)] == [200, 404, 200]
    assert await client.rest() == b""


async def test_refused_uploads_over_tls_hear_why(open_port: OpenPort, kit: Kit, authority: Authority) -> None:
    port = await open_port(tls=authority.server(), body_bytes_max=2_000)
    client = await port.connect(authority.client())
    client.send(kit.post(b"a" * 1_000_000))
    assert (await client.reply()).status == 413
    client.close()


async def test_client_certificates(open_port: OpenPort, kit: Kit, authority: Authority) -> None:
    port = await open_port(tls=authority.server(client_ca_file=authority.ca_file))
    client = await port.connect(authority.client(identity="sensor"))
    client.send(kit.post(b"a"))
    assert (await client.reply()).status == 200
    stranger, nobody = authority.client(), authority.client()
    trustme.CA().issue_cert("stranger").configure_cert(stranger)
    for context in (stranger, nobody):
        # Under TLS 1.3 a client learns of its refusal when it reads.
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await _ask(port, context, kit.post(b"b"))
    assert port.intake.items == [b"a"]


async def _ask(port: Port, context: ssl.SSLContext, data: bytes) -> None:
    client = await port.connect(context)
    client.send(data)
    await client.reply()


async def test_old_versions_are_refused(open_port: OpenPort, authority: Authority) -> None:
    port = await open_port(tls=authority.server(version_min="1.3"))
    context = authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await port.connect(context)


async def test_renewed_certificates_are_read_again(open_port: OpenPort, kit: Kit, authority: Authority) -> None:
    files = authority.server()
    port = await open_port(tls=files, sweep_s=0.01)

    async def serial() -> object:
        client = await port.connect(authority.client())
        certificate = client.writer.get_extra_info("peercert")
        client.close()
        return certificate["serialNumber"]

    before = await serial()
    Path(files["cert_file"]).write_text("broken")
    await port.until(lambda: port.source._certificates._seen[0][2] == len("broken"))  # type: ignore[union-attr]
    assert await serial() == before
    authority.issue("server")
    renewed = before
    while renewed == before:
        renewed = await serial()
    Path(files["key_file"]).unlink()
    await port.until(lambda: port.source._certificates._seen[1] == (0, 0, 0))  # type: ignore[union-attr]
    assert await serial() == renewed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cert_file": "missing.pem"}, r"tls\.cert_file: cannot read .*missing\.pem \(No such file"),
        ({"key_file": "missing.pem"}, r"tls\.key_file: cannot read"),
        ({"client_ca_file": "missing.pem"}, r"tls\.client_ca_file: cannot read"),
        ({"cert_file": "empty.pem"}, r"do not work together"),
        ({"key_file": "other-key.pem"}, r"do not work together"),
        ({"key_file": "encrypted.pem"}, r"do not work together"),
        ({"client_ca_file": "empty.pem"}, r"client_ca_file: .* holds no CA certificates"),
    ],
)
async def test_unusable_files_are_named(kit: Kit, authority: Authority, change: dict[str, str], message: str) -> None:
    folder = Path(authority.ca_file).parent
    settings = authority.server()
    authority.issue("other")
    (folder / "empty.pem").write_text("")
    key = load_pem_private_key(Path(settings["key_file"]).read_bytes(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (folder / "encrypted.pem").write_bytes(sealed)
    tls = settings | {name: str(folder / file) for name, file in change.items()}
    source = make_source(kit, {"listen": "127.0.0.1:0", "tls": tls})
    with pytest.raises(ConfigError, match=r"sources\.port\.http\.tls.*" + message.removeprefix(r"tls")):
        await source.start()
    await source.stop()


@pytest.mark.parametrize("content", [None, "", " \n", "two words", "\xe9", "a\nb"])
async def test_unusable_tokens_are_named(kit: Kit, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, "utf-8")
    source = make_source(kit, {"listen": "127.0.0.1:0", "bearer_token_file": str(file)})
    with pytest.raises(ConfigError, match=r"sources\.port\.http\.bearer_token_file: "):
        await source.start()
    await source.stop()


async def test_a_token_may_stand_in_a_file(open_port: OpenPort, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    port = await open_port(bearer_token_file=str(tmp_path / "token"))
    assert (await port.ask(kit.post(b"a"))).status == 401
    assert (await port.ask(kit.post(b"a", "/", "Authorization: Bearer secret"))).status == 200


def make_source(kit: Kit, settings: dict[str, Any]) -> HttpSource:
    known = HttpSettings.model_validate({"routes": {"/": "falco"}, **settings})
    return HttpSource("port", known, kit.memory(), {"falco": kit.decoder("falco")})
