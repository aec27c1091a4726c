"""What the Falco pack says of telemetry: it counts, and alerts nobody unless it is heard."""

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


async def test_telemetry_counts_and_alerts_nobody_until_it_is_heard(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    heard = yaml.safe_load(snippet)["rules"]
    assert set(heard["heard"]) == {f"falco:{name}" for name in TELEMETRY}
    agent = Agent(tmp_path)
    rules = {"packs": ["starter", "falco", "chains"], "paths": []}
    agent.settings |= {"rules": rules}
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
    stats = agent.run("rules", "stats", "--limit", "0", "--format", "json").lines
    noise = {row["title"]: (row["findings"], row["alerts"]) for row in stats}
    assert {noise[name] for name in TELEMETRY} == {(2, 0)}

    agent.settings |= {"rules": {**rules, **heard}}
    agent.configure()
    agent.run("reload")
    program = falco_alert("a program", rule=simulated.PROGRAM_RULE, priority="Informational")
    assert (await post(agent.falco, "/", json.dumps(program).encode())).accepted
    await agent.settled()
    assert simulated.PROGRAM_RULE in [alert["finding_info"]["title"] for alert in agent.alerts()]
    assert agent.run("rules", "shadow", "--format", "json").lines == []
    assert agent.end() == 0
