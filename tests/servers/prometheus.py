"""Prometheus as an ordinary process, scraping what a test gives it, and promtool."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx

from .fetch import PROMETHEUS, fetched
from .process import Host, Server, link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCRAPE_INTERVAL: Final = "200ms"


class Series(NamedTuple):
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


class Prometheus(Server):
    """A Prometheus that scrapes `targets` (host:port by job). The first scrape comes five seconds after its start.

    `settings` are more keys of prometheus.yml: `rule_files`, `alerting`, or `scrape_configs`, which come first then.
    """

    def __init__(self, host: Host, targets: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
        fetched("prometheus")
        super().__init__(host, "prometheus")
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.folder / "prometheus.yml"
        jobs = [{"job_name": job, "static_configs": [{"targets": list(where)}]} for job, where in targets.items()]
        document = {
            "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL},
            **settings,
            "scrape_configs": [*settings.get("scrape_configs", []), *jobs],
        }
        self.config.write_text(json.dumps(document))  # JSON is YAML
        self.executable = self.folder / "prometheus"
        link(PROMETHEUS / "prometheus", self.executable)
        self._client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def command(self) -> list[str]:
        flags = {
            "config.file": self.config,
            "storage.tsdb.path": self.folder / "data",
            "storage.tsdb.retention.time": "1d",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        return [str(self.executable), *(f"--{flag}={value}" for flag, value in flags.items())]

    def ready(self) -> bool:
        return self._client.get("/-/ready").is_success

    def query(self, promql: str) -> list[Series]:
        """An instant query for a vector."""
        answer = self._client.get("/api/v1/query", params={"query": promql})
        assert answer.is_success, f"{promql}: {answer.status_code} {answer.text}"
        data = answer.json()["data"]
        assert data["resultType"] == "vector", data
        return [Series(series["metric"], float(series["value"][1])) for series in data["result"]]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with `health`, `lastError` and `labels`."""
        found: list[dict[str, Any]] = self._client.get("/api/v1/targets").json()["data"]["activeTargets"]
        return found

    def close(self) -> None:
        self._client.close()


def promtool(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool with `text` on its standard input, as in `promtool("check", "metrics", text=page)`."""
    fetched("prometheus")
    command = [f"{PROMETHEUS}/promtool", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
