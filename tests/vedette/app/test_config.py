"""The configuration: defaults, what is made of it, paths, variables, and what its errors say."""

from pathlib import Path

import pytest

from vedette.app.config import PACKS, Config, default_data_dir
from vedette.app.config_file import load_config, parse_config
from vedette.journal.sqlite import Retention
from vedette.pipeline.delivery import DeliveryPolicy
from vedette.pipeline.routing import Filter, Selection
from vedette.schema.errors import ConfigError
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.settings import DetectionSettings, RollUpSettings, SourceLabels

EXAMPLE = """
cluster: prod
data_dir: ./data
sources:
  audit: {http: {listen: "127.0.0.1:0", routes: {"/k8s-audit": kube_audit}}, cluster: eu1, labels: {team: blue}}
  vpc: {files: {paths: ["flow/*.log", /var/log/flow.log], format: vpc_flow}}
rules: {packs: [], paths: [rules]}
alerts: {rollup_window_s: 60, revision_interval_s: 1.5, revision_interval_s_max: 3, open_alerts_max: 10}
sinks:
  store: {store: }
  pipe: {stdout: {}, min_level: high, backlog_age_s_max: 60, backlog_bytes_max: 1000}
journal: {keep_days: 2, segment_age_s_max: 0}
log: {level: debug}
"""


def parsed(text: str, **environment: str) -> Config:
    return parse_config(text, "f", environment=environment, folder=Path("/etc/vedette"))


def test_without_a_file_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    config = load_config(None)
    assert config.data_dir == Path("/state/vedette")
    listens = {name: (entry.kind, entry.settings.listen) for name, entry in config.sources.items()}
    assert listens == {"falco": ("http", "127.0.0.1:2801"), "audit": ("http", "127.0.0.1:9765")}
    assert {name: entry.kind for name, entry in config.sinks.items()} == {"store": "store"}
    assert config.rules.packs == [*PACKS]


def test_an_empty_file_is_the_defaults() -> None:
    assert parsed("# nothing\n") == Config()


def test_defaults_of_the_sections_are_those_of_the_parts() -> None:
    config = Config()
    assert config.alerts.rollup() == RollUpSettings()
    assert config.journal.retention() == Retention()
    assert config.sinks["store"].policy() == DeliveryPolicy()


def test_the_data_folder_is_under_home_where_there_is_no_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/v")
    assert default_data_dir() == Path("/home/v/.local/state/vedette")


def test_each_part_is_told_its_own() -> None:
    config = parsed(EXAMPLE)
    assert config.detection_settings() == DetectionSettings(
        cluster="prod",
        sources={"audit": SourceLabels("eu1", {"team": "blue"}), "vpc": SourceLabels()},
        rollup=RollUpSettings(60 * SECOND_NS, 1_500_000_000, 3 * SECOND_NS, 10),
    )
    assert config.journal.retention() == Retention(keep_age_ns=2 * 86_400 * SECOND_NS, segment_age_ns_max=0)
    assert config.sinks["pipe"].kind == "stdout"
    assert config.sinks["pipe"].policy() == DeliveryPolicy(Filter(Level.HIGH), 60, 1000)


def test_a_destination_is_told_what_to_pass() -> None:
    config = parsed(
        """
sinks:
  store: {store: , log: alerts, min_level: informational}
  tickets:
    stdout: {}
    min_level: medium
    filter: {sources: [audit*], tags: [attack.*]}
    exclude: {rules: ["falco:*"], clusters: ["dev-?"]}
  raw: {webhook: {url: "http://h"}, log: events, filter: {formats: [kube_audit]}, min_level: informational}
"""
    )
    passing = {name: entry.policy().filter for name, entry in config.sinks.items()}
    assert passing == {
        "store": Filter(),
        "tickets": Filter(
            Level.MEDIUM,
            Selection(sources=("audit*",), tags=("attack.*",)),
            Selection(rules=("falco:*",), clusters=("dev-?",)),
        ),
        "raw": Filter(only=Selection(formats=("kube_audit",))),
    }
    assert [entry.log for entry in config.sinks.values()] == ["alerts", "alerts", "events"]


def test_relative_paths_count_from_the_folder_of_the_file() -> None:
    config = parsed(EXAMPLE)
    assert config.data_dir == Path("/etc/vedette/data")
    assert config.rules.paths == ["/etc/vedette/rules"]
    assert config.sources["vpc"].settings.paths == ["/etc/vedette/flow/*.log", "/var/log/flow.log"]


def test_secret_files_are_paths_too() -> None:
    config = parsed("sources: {a: {http: {bearer_token_file: token}}}")
    assert config.sources["a"].settings.bearer_token_file == "/etc/vedette/token"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/v")
    assert parsed("rules: {paths: [~/rules]}").rules.paths == ["/home/v/rules"]
    assert load_config(None, data_dir=Path("~/x")).data_dir == Path("/home/v/x")


def test_the_command_line_overrides_the_data_folder(tmp_path: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text("data_dir: here")
    assert load_config(file).data_dir == tmp_path / "here"
    assert load_config(file, data_dir=tmp_path / "there").data_dir == tmp_path / "there"


def test_variables_stand_for_values_of_any_type() -> None:
    config = parsed("{cluster: '${NAME}-eu', alerts: {open_alerts_max: '${MAX:-7}'}}", NAME="prod")
    assert config.cluster == "prod-eu"
    assert config.alerts.open_alerts_max == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sources: {a: {labels: {'': x}, http: {}}}",
            "f:1:24: sources.a.labels.: String should have at least 1 character",
        ),
        ("clutser: x", "f:1:1: clutser: unknown key `clutser`; did you mean `cluster`?"),
        ("zzz: x", "f:1:1: zzz: unknown key `zzz`; known are alerts, cluster, data_dir, journal, log, metrics, rules"),
        (
            "sources:\n  audit:\n    http:\n      lisen: ':1'",
            "f:4:7: sources.audit.http.lisen: unknown key `lisen`; did you mean `listen`?",
        ),
        (
            "sources: {files: {http: {bearer_tokn: x}}}",
            "f:1:26: sources.files.http.bearer_tokn: unknown key `bearer_tokn`; did you mean `bearer_token`?",
        ),
        (
            "sources: {a: {http: {routes: {/x: {format: falco, contxt: x}}}}}",
            "f:1:51: sources.a.http.routes./x.contxt: unknown key `contxt`; did you mean `context`?",
        ),
        ("sources: {a: {htp: {}}}", "f:1:15: sources.a.htp: unknown key `htp`; did you mean `http`?"),
        ("sources: {a: {files: {paths: [x]}}}", "f:1:22: sources.a.files.format: is missing; name of the decoder"),
        ("sources: {a: }", "f:1:13: sources.a: must be a mapping, such as {key: value}"),
        ("sources: {a: {}}", "f:1:14: sources.a: this entry does not say what it is; name exactly one of http, files"),
        (
            "sources: {a: {http: {}, stdin: {format: falco}}}",
            "f:1:14: sources.a: this entry names http and stdin; name",
        ),
        ("sources: {A b: {http: {}}}", "f:1:11: sources.A b: is no valid name here; use small letters"),
        ("sources: {vedette: {http: {}}}", "f:1:11: sources.vedette: the name `vedette` is taken by Vedette's own"),
        ("sources: {}", "f:1:10: sources: must not be empty; where records come from"),
        (
            "sinks: {store: {store: {}, min_level: hgh}}",
            "f:1:39: sinks.store.min_level: must be 'informational', 'low'",
        ),
        (
            "sinks: {s: {webhook: {url: 'http://h'}, log: events, min_level: high, filter: {tags: [x], sources: [y]}}}",
            "f:1:12: sinks.s: `filter.tags`, `min_level` can't be used here: `log: events` delivers records, which",
        ),
        (
            "sinks: {s: {store: , exclude: {formats: [falco]}}}",
            "f:1:12: sinks.s: `exclude.formats` can't be used here: `log: alerts` delivers alerts, which have no",
        ),
        ("sinks: {s: {store: , log: event}}", "f:1:27: sinks.s.log: must be 'alerts' or 'events'"),
        (
            "sinks: {s: {store: , filter: {source: [a]}}}",
            "f:1:31: sinks.s.filter.source: unknown key `source`; did you mean `sources`?",
        ),
        ("sinks: {s: {store: , filter: {rules: a}}}", "f:1:38: sinks.s.filter.rules: must be a list, such as [value]"),
        ("alerts: {rollup_window_s: 0}", "f:1:27: alerts.rollup_window_s: must be greater than 0; seconds after its"),
        (
            "alerts: {revision_interval_s: 400}",
            "f:1:9: alerts: `revision_interval_s_max` must not be below `revision_interval_s`",
        ),
        ("journal: {keep_days: week}", "f:1:22: journal.keep_days: must be a valid number"),
        ("cluster: 1", "f:1:10: cluster: must be text; put it in quotes; name of the cluster"),
        ("cluster: ${NOPE}", "f:1:10: environment variable `NOPE` is not set; set it, or write ${NOPE:-default}"),
        ("[1]", "f:1:1: the configuration must be a mapping, such as `cluster: prod`"),
        ("x", "f:1:1: the configuration must be a mapping"),
    ],
)
def test_an_error_names_place_key_and_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert str(caught.value).startswith(message)


def test_all_errors_are_listed_in_the_order_of_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed("zzz: 1\nalerts: {rollup_window_s: -1}\ncluster: 1\n")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["f:1:1:", "f:2:27:", "f:3:10:"]


def test_a_flood_of_errors_is_cut_off() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed("\n".join(f"zzz{number}: 1" for number in range(30)))
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "f: and 10 more"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can't be read: No such file or directory"), (b"a: \xff", "is not UTF-8 \\(byte 3\\); save it as UTF-8")],
    ids=["absent", "latin-1"],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "vedette.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(file)
