"""An agent as the chart's full values set it up, and clients that send what deploy/connect makes them send."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
import trustme
import yaml

from tests.e2e.agent import Agent

from .rendered import DEPLOY, GOLDEN, configuration, manifests, of_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT: Final = DEPLOY / "connect"
FULL: Final = manifests(GOLDEN / "full.yaml")
TOKEN: Final = "a-token-of-the-audit-webhook"
Sections = dict[str, Any]


def read(name: str) -> Sections:
    found: Sections = yaml.safe_load((CONNECT / name).read_text("utf-8"))
    return found


def service_name(name: str) -> str:
    """The DNS name of one of the chart's Services."""
    (service,) = [one for one in of_kind(FULL, "Service") if one["metadata"]["name"].endswith(f"-{name}")]
    return f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"


class Cluster:
    """One agent, and the certificates and the token that the Secrets of a cluster would hold."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert(service_name("falco"), service_name("audit"))
        issued.cert_chain_pems[0].write_to_path(folder / "tls.crt")
        issued.private_key_pem.write_to_path(folder / "tls.key")
        self.authority.cert_pem.write_to_path(folder / "ca.crt")
        (folder / "audit-token").write_text(TOKEN)
        text = configuration(FULL).replace("/etc/vedette/tls", str(folder))
        sources = yaml.safe_load(text.replace("/etc/vedette/secrets", str(folder)))["sources"]
        self.agent = Agent(folder)
        self.agent.settings["sources"] = sources
        self.agent.settings["rules"] = {"packs": ["starter"]}
        self._places = {2801: self.agent.falco, 9765: self.agent.audit}
        for name, port in (("falco", self.agent.falco), ("audit", self.agent.audit)):
            sources[name]["http"]["listen"] = f"127.0.0.1:{port}"
        self.agent.configure()

    async def post(
        self, url: str, body: bytes, fields: dict[str, str], *, name: str = "", certificate: bool = False
    ) -> httpx.Response:
        """Post as a client that checks the certificate against the URL's host, or `name`; 2801 and 9765 are here."""
        parts = urlsplit(url)
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if certificate:
            self.authority.issue_cert("sender").configure_cert(context)
        assert parts.port is not None
        target = f"{parts.scheme}://127.0.0.1:{self._places[parts.port]}{parts.path}"
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            sni = {"sni_hostname": name or parts.hostname}
            return await client.post(target, content=body, headers=fields, extensions=sni)

    async def alerts(self) -> list[dict[str, Any]]:
        await self.agent.settled()
        return self.agent.alerts()


def fluent_bit(settings: Sections, lines: Sequence[str]) -> tuple[str, bytes, dict[str, str]]:
    """URL, body and header fields of what Fluent Bit posts for lines of the file that it reads, by its one output.

    Source: docs.fluentbit.io, input tail (a line stands under `log`) and output http.
    """
    (tail,), (http,) = settings["pipeline"]["inputs"], settings["pipeline"]["outputs"]
    assert (tail["name"], http["name"], http["match"]) == ("tail", "http", tail["tag"])
    assert (http["format"], http["tls"]) == ("json_lines", True)
    assert "parser" not in tail
    assert "compress" not in http
    records = [json.dumps({"date": 1_795_256_472.125, "log": line}, ensure_ascii=False) for line in lines]
    fields = {"Content-Type": "application/x-ndjson", "User-Agent": "Fluent-Bit"}
    if "header" in http:
        key, _, value = http["header"].partition(" ")
        fields[key] = value.replace("${VEDETTE_AUDIT_TOKEN}", TOKEN)
    body = "".join(f"{record}\n" for record in records).encode()
    return f"https://{http['host']}:{http['port']}{http['uri']}", body, fields
