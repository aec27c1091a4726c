"""What the Falco pack says of telemetry: in shadow it counts and alerts nobody, and what is an alert still is one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest
import yaml

import detectors.packs
from vedette.testing.simulator import falco as simulated

from .agent import Agent, falco_alert, post

README: Final = (Path(detectors.packs.__file__).parent / "falco/README.md").read_text(encoding="utf-8")
SECTION: Final = README.partition("## Telemetry")[2].partition("\n## ")[0]
TELEMETRY: Final = {
    simulated.PROGRAM_RULE,
    simulated.FILE_RULE,
    simulated.READ_RULE,
    simulated.CONNECTION_RULE,
}

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]


async def test_telemetry_in_shadow_counts_and_alerts_nobody(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    rules = yaml.safe_load(snippet)["rules"]
    assert set(rules["shadow"]) == {f"falco:{name}" for name in TELEMETRY}
    agent = Agent(tmp_path)
    agent.settings |= {"rules": {"packs": ["starter", "falco", "chains"], "paths": [], **rules}}
    agent.configure()
    await agent.start()
    for number in range(2):
        for name in sorted(TELEMETRY):
            alert = falco_alert(f"{name} {number}", rule=name, priority="Informational")
            assert (await post(agent.falco, "/", json.dumps(alert).encode())).accepted
    shell = falco_alert("a shell", rule="Terminal shell in container", priority="Notice")
    assert (await post(agent.falco, "/", json.dumps(shell).encode())).accepted
    await agent.settled()

    assert [alert["finding_info"]["title"] for alert in agent.alerts()] == ["Terminal shell in container"]
    shadow = agent.run("rules", "shadow", "--format", "json").lines
    assert {row["id"]: (row["findings"], row["alerts"]) for row in shadow} == {
        f"falco:{name}": (2, 1) for name in TELEMETRY
    }
    assert agent.end() == 0
