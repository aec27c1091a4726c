"""rsyslog as an ordinary process that receives syslog over TCP, in plain or with TLS, and writes it down as JSON."""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING, Any, Final

from .fetch import RSYSLOG, fetched
from .process import Host, Server

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE_BYTES_MAX: Final = 64 * 1024
PROPERTIES: Final = {
    "pri": "pri",
    "time": "timereported",
    "host": "hostname",
    "app": "app-name",
    "procid": "procid",
    "msgid": "msgid",
    "sd": "structured-data",
    "msg": "msg",
    "version": "protocol-version",
}


class Rsyslog(Server):
    """A receiver; with `ca`, `certificate` and `key` (PEM files) it speaks TLS and wants a certificate of that CA."""

    def __init__(
        self, host: Host, *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        fetched("rsyslog")
        super().__init__(host, "rsyslog")
        self.output = self.folder / "received.jsonl"
        shutil.copytree(RSYSLOG, self.folder / "rsyslog")
        driver = ""
        if ca is not None and certificate is not None and key is not None:
            paths = [shutil.copy(file, self.folder / file.name) for file in (ca, certificate, key)]
            names = ("DefaultNetstreamDriverCAFile", "DefaultNetstreamDriverCertFile", "DefaultNetstreamDriverKeyFile")
            files = " ".join(f'{name}="{path}"' for name, path in zip(names, paths, strict=True))
            driver = f'DefaultNetstreamDriver="ossl" {files}'
        tls = 'StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"' if driver else ""
        time = 'dateFormat="rfc3339" '
        fields = 'constant(value="{")' + 'constant(value=",")'.join(
            f'property(outname="{name}" name="{origin}" {time if name == "time" else ""}format="jsonf")'
            for name, origin in PROPERTIES.items()
        )
        self.config = self.folder / "rsyslog.conf"
        self.config.write_text(
            f'global(workDirectory="{self.folder}" maxMessageSize="{MESSAGE_BYTES_MAX}" {driver})\n'
            f'module(load="imtcp" {tls})\n'
            f'template(name="json" type="list") {{ {fields} constant(value="}}\\n") }}\n'
            f'ruleset(name="all") {{ action(type="omfile" file="{self.output}" template="json") }}\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}" ruleset="all")\n'
        )
        host.hand_over(self.folder)

    def command(self) -> list[str]:
        modules = self.folder / "rsyslog" / "modules"
        executable = self.folder / "rsyslog" / "rsyslogd"
        return [str(executable), "-n", "-f", str(self.config), "-i", str(self.folder / "pid"), "-M", str(modules)]

    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": str(self.folder / "rsyslog")}

    def ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def received(self) -> list[dict[str, Any]]:
        """Whole messages that were written down so far."""
        lines = self.output.read_bytes().split(b"\n")[:-1] if self.output.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        pass
