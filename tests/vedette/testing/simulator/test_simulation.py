"""What a simulation yields: records that decode, in order, in the stated mix, with the whole truth in labels."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from statistics import mean, pvariance
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import pytest

from collector.decoders import DECODERS
from collector.enrichers.workload import likely_owner
from vedette.testing.simulator import (
    FLOW_FIELDS,
    SCENARIOS,
    Attack,
    Phase,
    SimulatedRecord,
    Simulation,
    SimulationConfig,
)
from vedette.testing.simulator.__main__ import FILES, LABELS, simulate
from vedette.testing.simulator.moments import DAY_NS, HOUR_NS, MINUTE_NS, START_NS, hour_of

if TYPE_CHECKING:
    from pathlib import Path

SECOND_NS = 1_000_000_000
SILENCES = ("sensor_killed", "source_silent")
SPOKEN = [name for name in SCENARIOS if name not in SILENCES]
PEOPLE = (b"@example.com", b"Terminal shell", b'"proc.pname":"sh"')
DIGEST = """
import hashlib
from vedette.testing.simulator import Simulation, SimulationConfig
digest = hashlib.sha256()
for record in Simulation(SimulationConfig(30, 3, 10_004, 1, ("beacon", "night_exec"))).records():
    digest.update(repr(record).encode())
print(digest.hexdigest())
"""


class Run(NamedTuple):
    records: list[SimulatedRecord]
    attacks: dict[str, Attack]
    waiting_max: int
    simulation: Simulation


def play(config: SimulationConfig) -> Run:
    simulation, records, waiting_max = Simulation(config), [], 0
    for record in simulation.records():
        records.append(record)
        waiting_max = max(waiting_max, simulation.waiting)
    return Run(records, {attack.scenario: attack for attack in simulation.attacks}, waiting_max, simulation)


@pytest.fixture(scope="module", params=[pytest.param(11, id="tuning"), pytest.param(10_011, id="reporting")])
def attacked(request: pytest.FixtureRequest) -> Run:
    """Every attack but the silences, which would swallow records of the others."""
    return play(SimulationConfig(pods=30, days=4, seed=request.param, learning_days=0, attacks=tuple(SPOKEN)))


@pytest.fixture(scope="module")
def quiet() -> Run:
    return play(SimulationConfig(pods=40, days=7, seed=10_020))


def document(record: SimulatedRecord) -> dict[str, Any]:
    return DECODERS[record.format].decode_all(record.payload, FLOW_FIELDS if record.format == "vpc_flow" else "")


def test_everything_decodes_at_its_time(attacked: Run) -> None:
    for record in attacked.records:
        decoder = DECODERS[record.format]
        found = decoder.decode(record.payload, FLOW_FIELDS if record.format == "vpc_flow" else "")
        assert decoder.time_ns(found) == record.time_ns


def test_every_record_is_one_item_for_its_source(attacked: Run) -> None:
    for record in attacked.records[::50]:
        pieces = DECODERS[record.format].split(record.payload)
        assert [item for piece in pieces for item in piece.items] == [record.payload]


def test_ports_and_addresses_are_such(attacked: Run) -> None:
    for record in attacked.records:
        if record.format == "vpc_flow":
            doc = document(record)
            assert 0 < doc["dstport"] < 65_536
            assert 0 < doc["srcport"] < 65_536
            assert str(ip_address(doc["srcaddr"])) != str(ip_address(doc["dstaddr"]))


def test_times_never_go_back(attacked: Run) -> None:
    times = [record.time_ns for record in attacked.records]
    assert times == sorted(times)
    assert times[0] >= START_NS
    assert times[-1] < START_NS + 4 * DAY_NS


@pytest.mark.parametrize("scenario", SPOKEN)
def test_the_ground_truth_is_what_the_labels_say(attacked: Run, scenario: str) -> None:
    attack = attacked.attacks[scenario]
    labelled = [record for record in attacked.records if record.label and record.label.attack == attack.attack_id]
    assert len(labelled) == attack.records > 0
    assert (labelled[0].time_ns, labelled[-1].time_ns) == (attack.start_ns, attack.end_ns)
    assert attack.entity.name
    parameters = SCENARIOS[scenario].parameters
    for name, value in attack.parameters.items():
        bounds = parameters[name].of(attack.phase)
        assert bounds.low <= value <= bounds.high


def test_a_scan_tries_each_port_once(attacked: Run) -> None:
    tried = [document(record) for record in labelled(attacked, "port_scan") if record.format == "vpc_flow"]
    ports = [doc["dstport"] for doc in tried if doc["flow-direction"] == "egress"]
    assert len(ports) == len(set(ports)) == attacked.attacks["port_scan"].parameters["ports"]
    assert Counter(doc["action"] for doc in tried)["REJECT"] >= 0.8 * len(ports)


def test_a_harvest_reads_each_secret_once_within_its_window(attacked: Run) -> None:
    found = labelled(attacked, "secret_harvest")
    names = {(doc["namespace"], doc["name"]) for doc in (document(record)["objectRef"] for record in found)}
    attack = attacked.attacks["secret_harvest"]
    assert len(names) == len(found) == attack.parameters["secrets"]
    assert attack.end_ns - attack.start_ns <= attack.parameters["window_min"] * MINUTE_NS


def test_a_beacon_keeps_its_period_within_the_jitter(attacked: Run) -> None:
    times = [record.time_ns for record in labelled(attacked, "beacon") if record.format == "falco"]
    gaps = [(after - before) / SECOND_NS for before, after in pairwise(times)]
    period, jitter = (attacked.attacks["beacon"].parameters[name] for name in ("period_s", "jitter"))
    assert period * (1 - jitter) - 0.01 <= min(gaps) <= max(gaps) <= period * (1 + jitter) + 0.01
    assert sum(gaps) > 3 * 3600 - 2 * period


def test_exfiltration_sends_what_it_says(attacked: Run) -> None:
    for scenario in ("slow_exfiltration", "burst_exfiltration"):
        docs = [document(record) for record in labelled(attacked, scenario) if record.format == "vpc_flow"]
        sent = sum(doc["bytes"] for doc in docs if doc["flow-direction"] == "egress")
        assert sent == pytest.approx(attacked.attacks[scenario].parameters["total_mb"] * 1e6, rel=0.1)


def test_a_stolen_token_is_the_one_that_its_pod_uses(attacked: Run) -> None:
    stolen = document(labelled(attacked, "token_from_new_network")[0])
    key = "authentication.kubernetes.io/credential-id"
    assert stolen["user"]["extra"][key][0].startswith("JTI=")
    assert not stolen["sourceIPs"][0].startswith("10.")
    assert stolen["user"]["username"].endswith(attacked.attacks["token_from_new_network"].entity.name)


@pytest.mark.parametrize(("scenario", "format_name"), [("sensor_killed", "falco"), ("source_silent", "kube_audit")])
def test_a_silence_swallows_its_source_alone(scenario: str, format_name: str) -> None:
    run = play(SimulationConfig(pods=30, days=2, seed=10_030, attacks=(scenario,)))
    attack = run.attacks[scenario]
    within = [record for record in run.records if attack.start_ns <= record.time_ns < attack.end_ns]
    node = attack.entity.name if scenario == "sensor_killed" else ""

    def silenced(records: list[SimulatedRecord]) -> list[SimulatedRecord]:
        return [r for r in records if r.format == format_name and (not node or f'"{node}"'.encode() in r.payload[:60])]

    assert attack.records == 0
    assert attack.end_ns - attack.start_ns >= 2 * HOUR_NS - SECOND_NS
    assert not silenced(within)
    assert silenced([record for record in run.records if record.time_ns < attack.start_ns])
    assert {record.format for record in within} >= {"falco", "vpc_flow"}


def labelled(run: Run, scenario: str) -> list[SimulatedRecord]:
    return [record for record in run.records if record.label is not None and record.label.scenario == scenario]


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_a_run_is_the_same_under_other_hashes_and_in_other_strides(hash_seed: str) -> None:
    digest = hashlib.sha256()
    records = Simulation(SimulationConfig(30, 3, 10_004, 1, ("beacon", "night_exec"))).records()
    while part := [record for _, record in zip(range(997), records, strict=False)]:
        digest.update(b"".join(repr(record).encode() for record in part))
    command = [sys.executable, "-c", DIGEST]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    answer = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    assert answer.stdout.strip() == digest.hexdigest()


def test_workloads_can_be_told_from_the_names_of_pods(quiet: Run) -> None:
    seen = [orjson.loads(record.payload)["output_fields"] for record in quiet.records if record.format == "falco"]
    pods = {(fields["k8s.pod.name"], fields["container.name"]) for fields in seen if "k8s.pod.name" in fields}
    owners = {pod: likely_owner(pod) for pod, _ in pods}
    assert {pod: owner.name for pod, owner in owners.items() if owner} == dict(pods)
    assert {owner.kind for owner in owners.values() if owner} == {"Deployment", "StatefulSet", "CronJob"}


def test_other_seeds_are_other_days() -> None:
    first, second = (play(SimulationConfig(pods=30, days=1, seed=seed)).records for seed in (1, 2))
    assert not {record.payload for record in first} & {record.payload for record in second}


def test_more_workloads_leave_the_others_as_they_are() -> None:
    small = play(SimulationConfig(pods=40, days=1, seed=3, nodes=4))
    large = play(SimulationConfig(pods=80, days=1, seed=3, nodes=4))
    known = small.simulation.cluster.workloads
    assert large.simulation.cluster.workloads[: len(known)] == known
    assert len(without_people(small)) > 5000
    assert without_people(small) <= without_people(large)


def without_people(run: Run) -> set[bytes]:
    """What happened by itself: people choose among all workloads whom they look after."""
    payloads = {record.payload for record in run.records}
    return {payload for payload in payloads if not any(sign in payload for sign in PEOPLE)}


def container(payload: bytes) -> str:
    return str(orjson.loads(payload)["output_fields"].get("container.name", ""))


def test_attacks_leave_ordinary_life_as_it_is(attacked: Run) -> None:
    config = attacked.simulation.cluster.config
    without = play(replace(config, attacks=()))
    assert [record for record in attacked.records if record.label is None] == without.records


def test_memory_holds_a_slot_not_the_days(quiet: Run) -> None:
    assert quiet.waiting_max * 100 < len(quiet.records)


def test_there_is_no_label_without_an_attack(quiet: Run) -> None:
    assert not [record for record in quiet.records if record.label]


def test_the_mix_is_dense_and_has_all_formats(quiet: Run) -> None:
    alive = [record for record in quiet.records if b'"internal"' not in record.payload]
    assert 10 <= len(alive) / 40 / 7 / 24 <= 60
    shares = Counter(record.format for record in alive)
    assert all(shares[name] / len(alive) > 0.1 for name in FILES)


def test_days_have_nights_and_weeks_have_ends(quiet: Run) -> None:
    connections = [record.time_ns for record in quiet.records if b"Connection Made" in record.payload]
    hours = Counter(int(hour_of(time_ns)) for time_ns in connections)
    assert sum(hours[hour] for hour in (12, 13, 14, 15)) > 2 * sum(hours[hour] for hour in (0, 1, 2, 3))
    days = Counter((time_ns - START_NS) // DAY_NS for time_ns in connections)
    assert mean((days[5], days[6])) < 0.9 * mean(days[day] for day in range(5))


def test_counts_scatter_more_than_chance(quiet: Run) -> None:
    slots = Counter(
        (container(record.payload), record.time_ns // (10 * MINUTE_NS))
        for record in quiet.records
        if b"Connection Made" in record.payload and 10 <= hour_of(record.time_ns) < 16
    )
    names = Counter(name for name, _ in slots)
    name = max(names, key=lambda name: sum(count for (other, _), count in slots.items() if other == name))
    counts = [slots[name, slot] for slot in range(*span(quiet)) if 10 <= hour_of(slot * 10 * MINUTE_NS) < 16]
    assert pvariance(counts) > 1.3 * mean(counts)


def span(run: Run) -> tuple[int, int]:
    return run.records[0].time_ns // (10 * MINUTE_NS), run.records[0].time_ns // (10 * MINUTE_NS) + 5 * 144


def test_life_has_changes_that_are_no_attacks(quiet: Run) -> None:
    docs = [document(record) for record in quiet.records if record.format == "kube_audit"]
    done = {(doc["verb"], doc["objectRef"]["resource"], doc["objectRef"].get("subresource", "")) for doc in docs}
    expected = {
        ("patch", "deployments", ""),
        ("create", "replicasets", ""),
        ("create", "pods", "eviction"),
        ("update", "deployments", "scale"),
        ("delete", "nodes", ""),
        ("create", "jobs", ""),
        ("update", "leases", ""),
        ("get", "pods", "exec"),
        ("create", "serviceaccounts", "token"),
    }
    assert expected <= done
    assert {doc["responseStatus"]["code"] for doc in docs} >= {101, 200, 201, 403, 404}


@pytest.mark.parametrize(
    ("attack", "days", "message"),
    [
        pytest.param("no_such", 3, "no scenario 'no_such'", id="unknown"),
        pytest.param("slow_exfiltration", 2, "needs more days", id="too short"),
    ],
)
def test_what_can_not_be_played_is_refused(attack: str, days: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Simulation(SimulationConfig(pods=30, days=days, seed=1, attacks=(attack,)))


def test_files_and_labels_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(out=tmp_path, pods=30, days=2, seed=10_007, attack=["port_scan", "drift"]) == 0
    lines = {name: (tmp_path / name).read_bytes().splitlines() for name in FILES.values()}
    labels = [orjson.loads(line) for line in (tmp_path / LABELS).read_bytes().splitlines()]
    attacks = {label["attack_id"]: label for label in labels if label["kind"] == "attack"}
    records = [label for label in labels if label["kind"] == "record"]
    assert Counter(record["attack"] for record in records) == {name: one["records"] for name, one in attacks.items()}
    assert {attack["phase"] for attack in attacks.values()} == {Phase.REPORTING}
    for record in records:
        format_name = next(name for name, file in FILES.items() if file == record["file"])
        payload = lines[record["file"]][record["line"] - 1]
        found = document(SimulatedRecord(format_name, 0, payload, None))
        assert DECODERS[format_name].time_ns(found) == record["time_ns"]
    printed = capsys.readouterr().out
    assert "flow: scrapes" in printed
    assert "per second of CPU" in printed


def test_a_call_that_can_not_be_played_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(out=tmp_path / "x", days=2, attack=["no_such"]) == 2
    assert "no scenario" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()
