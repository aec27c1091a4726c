"""Runs as the container would, inside its root file system: `python in_container.py COMMAND…` prints what it saw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ALERT = {
    "rule": "Terminal shell in container",
    "priority": "Critical",
    "time": "2026-11-21T10:00:00.000000000Z",
    "output": "A shell was spawned",
    "output_fields": {"k8s.ns.name": "shop", "k8s.pod.name": "cart-0"},
}

FOLDERS = ("/", "/opt/vedette", "/etc/vedette", "/tmp", "/var/lib/vedette")


def answer(url: str, body: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, body, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def writable(folder: str) -> bool:
    try:
        (Path(folder) / "written").write_text("x")
    except OSError:
        return False
    return True


def until(url: str, process: subprocess.Popen[bytes]) -> str:
    while True:
        status, text = answer(url)
        if status == 200:
            return text
        if process.poll() is not None:
            sys.exit(f"ended with {process.returncode} before it was ready")
        time.sleep(0.1)


def main() -> None:
    command = sys.argv[1:]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        ready = until("http://127.0.0.1:9466/readyz", process)
        posted = answer("http://127.0.0.1:2801/", json.dumps(ALERT).encode())
        audit = answer("http://127.0.0.1:9765/k8s-audit", b'{"kind":"EventList","items":[]}')
        listed: list[str] = []
        while not listed:
            done = subprocess.run([command[0], "alerts", "list", "--format", "json"], capture_output=True, check=False)
            listed = done.stdout.decode().splitlines()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    seen = {
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "ready": json.loads(ready),
        "falco": posted,
        "audit": audit[0],
        "alerts": [json.loads(line)["title"] for line in listed],
        "writable": [
            folder for folder in ("/", "/opt/vedette", "/etc/vedette", "/tmp", "/var/lib/vedette") if writable(folder)
        ],
        "ended": ended,
    }
    print(json.dumps(seen))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main()
