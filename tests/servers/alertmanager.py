"""Alertmanager as an ordinary process, with a receiver that a test listens on, and amtool."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import httpx

from .fetch import ALERTMANAGER, TEMPLATES, fetched
from .process import Host, Server, link

if TYPE_CHECKING:
    from pathlib import Path

GROUP_BY: Final = ["alertname", "cluster", "namespace"]
PASSWORD: Final = "correct-horse"
_PASSWORD_HASH: Final = "$2b$04$abcdefghijklmnopqrstuuPoaPXzWjiVz4HaNq2LJXksWbO79E.S6"
"""bcrypt of PASSWORD, at its least cost."""


class Alertmanager(Server):
    """An Alertmanager on its own, which notifies `receiver` (a URL) in groups, after `wait_s` seconds.

    With `certificate` and `key` (PEM files) it speaks TLS, and asks user `vedette` for PASSWORD.
    """

    def __init__(
        self,
        host: Host,
        receiver: str,
        *,
        wait_s: float = 0.2,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        fetched("alertmanager")
        super().__init__(host, "alertmanager")
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.config = self.folder / "alertmanager.yml"
        wait = f"{int(wait_s * 1000)}ms"
        document = {
            "route": {
                "receiver": "test",
                "group_by": GROUP_BY,
                "group_wait": wait,
                "group_interval": wait,
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "test", "webhook_configs": [{"url": receiver, "send_resolved": True}]}],
        }
        self.config.write_text(json.dumps(document))  # JSON is YAML
        self._web: Path | None = None
        if certificate is not None and key is not None:
            self._web = self.folder / "web.yml"
            tls = {"cert_file": link_into(self.folder, certificate), "key_file": link_into(self.folder, key)}
            self._web.write_text(
                json.dumps({"tls_server_config": tls, "basic_auth_users": {"vedette": _PASSWORD_HASH}})
            )
        host.hand_over(self.folder)
        self.executable = self.folder / "alertmanager"
        link(ALERTMANAGER / "prometheus-alertmanager", self.executable)
        shutil.copytree(ALERTMANAGER / TEMPLATES, self.folder / TEMPLATES)
        self._client = httpx.Client(
            base_url=self.url, timeout=10, trust_env=False, verify=False, auth=("vedette", PASSWORD)
        )

    def command(self) -> list[str]:
        flags: dict[str, Any] = {
            "config.file": self.config,
            "storage.path": self.folder / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
            "cluster.listen-address": "",  # alone: no gossip port
        }
        if self._web is not None:
            flags["web.config.file"] = self._web
        return [str(self.executable), *(f"--{flag}={value}" for flag, value in flags.items())]

    def ready(self) -> bool:
        return self._client.get("/-/ready").is_success

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire, as `GET /api/v2/alerts` tells them: those that are over are not among them."""
        found: list[dict[str, Any]] = self._client.get("/api/v2/alerts").raise_for_status().json()
        return found

    def close(self) -> None:
        self._client.close()


def link_into(folder: Path, file: Path) -> str:
    target = folder / file.name
    link(file, target)
    return str(target)


def amtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run amtool, as in `amtool("check-config", file)`."""
    fetched("alertmanager")
    command = [f"{ALERTMANAGER}/amtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
