"""Makes the data of the sample day (vedette/app/sample_day/data) out of a recorded audit log and a story.

    python tools/sample_day.py ../shared/kube-audit/A

The same recording and story (sample_day.yaml, beside this file) make the same records, byte for byte. The recording is
our own, of a real API server; Falco alerts and flow records are written for the story.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml

STORY = Path(__file__).with_suffix(".yaml")
DATA = Path(__file__).parents[1] / "vedette" / "app" / "sample_day" / "data"
AUDIT_TIMES = ("requestReceivedTimestamp", "stageTimestamp")
NS = 1_000_000_000
FLOW_FIELDS = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
    " vpc-id subnet-id instance-id pkt-srcaddr pkt-dstaddr flow-direction"
)
WINDOW_S = 60
"""Seconds that a flow record counts."""


class Request(NamedTuple):
    """The events of one audit id, in the order of their stages."""

    label: str
    events: list[dict[str, Any]]

    @property
    def received(self) -> datetime:
        return instant(self.events[0][AUDIT_TIMES[0]])

    @property
    def name(self) -> str:
        found: str = (self.events[0].get("objectRef") or {}).get("name", "")
        return found


class Recording:
    """Requests of a recorded audit log, and which of them the labels speak of."""

    def __init__(self, folder: Path) -> None:
        labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text("utf-8").splitlines()]
        of_id = {audit_id: label["id"] for label in reversed(labels) for audit_id in label["audit_ids"]}
        found: dict[str, Request] = {}
        with gzip.open(folder / "audit.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                audit_id = event["auditID"]
                found.setdefault(audit_id, Request(of_id.get(audit_id, ""), [])).events.append(event)
        self.requests = sorted(found.values(), key=lambda request: request.received)
        self.made = {
            expected["name"]: label["id"]
            for label in labels
            if label["label"] == "attack"
            for expected in label["expected"]
            if expected["verb"] == "create" and expected.get("name")
        }
        """Objects that attacks made, by name: what the cluster did to them is no ordinary work."""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def moment(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock[:15]}").replace(tzinfo=UTC)


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# --- audit ----------------------------------------------------------------------------------------------------------
def audit_events(story: dict[str, Any], recording: Recording) -> list[dict[str, Any]]:
    day, plan = story["day"], story["audit"]
    events: list[dict[str, Any]] = []
    for entry in plan["actions"]:
        requests = _action(recording, entry)
        events += _moved(requests, moment(day, entry["at"]) - requests[0].received)
    events += _ordinary(day, plan["ordinary"], recording)
    return sorted(events, key=lambda event: event["stageTimestamp"])


def _action(recording: Recording, entry: dict[str, Any]) -> list[Request]:
    labelled = [request for request in recording.requests if request.label == entry["action"]]
    taken = [labelled[number] for number in entry["requests"]] if "requests" in entry else labelled
    if "with" in entry:
        until = taken[-1].received + timedelta(seconds=entry["with_s"])
        taken += [
            request
            for request in recording.requests
            if not request.label
            and taken[0].received <= request.received <= until
            and request.name.startswith(entry["with"])
        ]
    return taken


def _ordinary(day: str, plan: dict[str, Any], recording: Recording) -> Iterator[dict[str, Any]]:
    since = instant(plan["recorded_from"])
    candidates = [
        request for request in recording.requests if request.received >= since and _is_ordinary(request, recording)
    ]
    span = candidates[-1].received - since
    start, end = moment(day, plan["from"]), moment(day, plan["to"])
    for number in range(plan["times"]):
        share = number / plan["times"]
        first = next(at for at, request in enumerate(candidates) if request.received >= since + span * share)
        taken = candidates[first : first + plan["requests"]]
        yield from _moved(taken, start + (end - start) * share - taken[0].received)


def _is_ordinary(request: Request, recording: Recording) -> bool:
    if request.label or request.events[0]["sourceIPs"][-1].startswith(("203.0.113.", "198.51.100.")):
        return False
    return not any(request.name.startswith(name) for name in recording.made)


def _moved(requests: Iterable[Request], by: timedelta) -> Iterator[dict[str, Any]]:
    for request in requests:
        for event in request.events:
            times = {key: f"{instant(event[key]) + by:%Y-%m-%dT%H:%M:%S.%fZ}" for key in AUDIT_TIMES}
            yield event | times


# --- Falco ----------------------------------------------------------------------------------------------------------
def falco_alerts(story: dict[str, Any]) -> list[dict[str, Any]]:
    return [_alert(story["day"], entry) for entry in sorted(story["falco"], key=lambda entry: entry["at"])]


def _alert(day: str, entry: dict[str, Any]) -> dict[str, Any]:
    pod = entry["pod"]
    repository, _, tag = pod["image"].rpartition(":")
    whole_s = int(moment(day, entry["at"][:8]).timestamp())
    fields = {
        "container.id": pod["id"],
        "container.image.repository": repository,
        "container.image.tag": tag,
        "container.name": pod["container"],
        "evt.time": whole_s * NS + int(entry["at"][9:]),
        "k8s.ns.name": pod["ns"],
        "k8s.pod.name": pod["pod"],
        **entry["fields"],
    }
    shown = " ".join(f"{key}={fields[key]}" for key in ("user.name", "proc.cmdline", "proc.pname") if key in fields)
    where = f"pod={pod['ns']}/{pod['pod']} container={pod['id']}"
    return {
        "hostname": entry["node"],
        "output": f"{entry['at']}: {entry['priority']} {entry['says']} ({shown} {where})",
        "output_fields": dict(sorted(fields.items())),
        "priority": entry["priority"],
        "rule": entry["rule"],
        "source": "syscall",
        "tags": sorted(entry["tags"]),
        "time": f"{day}T{entry['at']}Z",
    }


# --- flows ----------------------------------------------------------------------------------------------------------
def flow_records(story: dict[str, Any]) -> list[str]:
    day, plan = story["day"], story["flows"]
    records = [record for entry in plan["records"] for record in _repeated(day, plan, entry)]
    ordinary = plan["ordinary"]
    for number in range(ordinary["times"]):
        kind = ordinary["kinds"][number % len(ordinary["kinds"])]
        at = moment(day, ordinary["from"]) + timedelta(seconds=number * ordinary["every_s"])
        entry = kind | {"src": kind["src"].replace("%p", str(32768 + 137 * number)), "action": "ACCEPT"}
        records.append(_record(plan, entry, int(at.timestamp())))
        records.append(_record(plan, _answer(entry), int(at.timestamp())))
    return [line for _, line in sorted(records)]


def _repeated(day: str, plan: dict[str, Any], entry: dict[str, Any]) -> Iterator[tuple[int, str]]:
    start = int(moment(day, entry["at"]).timestamp())
    for number in range(entry.get("times", 1)):
        yield _record(plan, entry, start + number * entry.get("every_s", 0))


def _answer(entry: dict[str, Any]) -> dict[str, Any]:
    turned = {**entry, "src": entry["dst"], "dst": entry["src"], "bytes": entry["bytes"] * 3}
    turned.pop("pod", None)
    return turned | ({"to_pod": entry["pod"]} if "pod" in entry else {})


def _record(plan: dict[str, Any], entry: dict[str, Any], end_s: int) -> tuple[int, str]:
    """The end of the record's window, and its line."""
    card = plan["interfaces"][entry["node"]]
    source, source_port = entry["src"].rsplit(":", 1)
    target, target_port = entry["dst"].rsplit(":", 1)
    inside = source == card["address"] or source.startswith(f"10.244.{card['address'][-1]}.")
    columns = (
        *(5, plan["account"], card["eni"], source, target, source_port, target_port, entry.get("protocol", 6)),
        *(entry["packets"], entry["bytes"], end_s - WINDOW_S, end_s, entry["action"], "OK"),
        *(plan["vpc"], plan["subnet"], card["instance"], entry.get("pod", source), entry.get("to_pod", target)),
        "egress" if inside else "ingress",
    )
    return end_s, " ".join(map(str, columns))


# --- all ------------------------------------------------------------------------------------------------------------
def build(recording: Path) -> dict[str, str]:
    """The text of each data file, by its name; `manifest.json` names and counts the others."""
    story = yaml.safe_load(STORY.read_text("utf-8"))
    audit = [dump(event) for event in audit_events(story, Recording(recording))]
    falco = [dump(alert) for alert in falco_alerts(story)]
    flows = flow_records(story)
    counts = {"kube_audit": len(audit), "falco": len(falco), "vpc_flow": len(flows)}
    return {
        "kube_audit.jsonl": "".join(f"{line}\n" for line in audit),
        "falco.jsonl": "".join(f"{line}\n" for line in falco),
        "vpc_flow.txt": "".join(f"{line}\n" for line in (FLOW_FIELDS, *flows)),
        "manifest.json": json.dumps({"day": story["day"], "records": counts}, indent=2) + "\n",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path, help="folder with audit.jsonl.gz and labels.jsonl")
    parser.add_argument("--into", type=Path, default=DATA, help="folder for the data")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    sizes = Counter[str]()
    for name, text in build(arguments.recording).items():
        packed = name != "manifest.json"
        file = arguments.into / (f"{name}.gz" if packed else name)
        file.write_bytes(gzip.compress(text.encode(), 9, mtime=0) if packed else text.encode())
        sizes[file.name] = file.stat().st_size
    for name, size in sizes.items():
        print(f"{size:>8} bytes  {name}")


if __name__ == "__main__":
    main()
