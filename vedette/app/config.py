"""The configuration: every key with its meaning, unit and default. Docs and JSON Schema are made from this module.

`vedette.app.config_file` reads it from one YAML file. What a source or a sink may be told stands in its own module
(`collector.sources.http` is configured under `http:`); the registries put them together here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

from collector.sources import SOURCES
from detectors.falco.audit_event import Mode
from detectors.falco.evaluation import FalcoOptions
from detectors.falco.matching import RuleMatching
from sinks import SINKS
from vedette.app.metrics.settings import MetricsSettings
from vedette.journal.protocol import LogName
from vedette.journal.sqlite import Retention
from vedette.journal.sqlite.core_log import CORE_BYTES_MAX
from vedette.pipeline.delivery import DeliveryPolicy
from vedette.pipeline.routing import Filter, Selection
from vedette.schema.level import Level
from vedette.schema.limits import (
    DEDUP_HORIZON_NS,
    MIB,
    OPEN_ALERTS_MAX,
    REVISION_INTERVAL_NS,
    REVISION_INTERVAL_NS_MAX,
    ROLLUP_WINDOW_NS,
    SECOND_NS,
)
from vedette.schema.record import CONTROL_SOURCE
from vedette.schema.settings import DetectionSettings, RollUpSettings, SourceLabels

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_S: Final = 24 * 3600
_RETENTION: Final = Retention()
_POLICY: Final = DeliveryPolicy()
_NAME_PATTERN: Final = "[a-z0-9][a-z0-9_-]*"


def _checked_name(name: str) -> str:
    if name == CONTROL_SOURCE:
        raise ValueError(f"the name `{CONTROL_SOURCE}` is taken by Vedette's own records; choose another one")
    return name


Name = Annotated[
    str,
    Field(
        pattern=f"^{_NAME_PATTERN}$",
        max_length=63,
        description="Small letters, digits, `-` and `_`; the first is a letter or a digit.",
    ),
    AfterValidator(_checked_name),
]
"""What a source or a sink is called in the ledger, in metrics and in alerts."""


class Section(BaseModel):
    """What all parts of the configuration have in common: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Choice(Section):
    """An entry that names exactly one of several kinds, beside settings that all kinds share."""

    kinds: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _allow_empty(cls, entry: Any) -> Any:
        """`store:` with nothing behind it means its defaults."""
        if not isinstance(entry, dict):
            return entry
        given = dict(cast("dict[str, Any]", entry))
        given.update((kind, {}) for kind in cls.kinds if kind in given and given[kind] is None)
        return given

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        named = [kind for kind in self.kinds if getattr(self, kind) is not None]
        if len(named) != 1:
            wrong = f"names {' and '.join(named)}" if named else "does not say what it is"
            raise ValueError(f"this entry {wrong}; name exactly one of {', '.join(self.kinds)}")
        return self

    @property
    def kind(self) -> str:
        """Which kind it is: a key of the registry."""
        return next(kind for kind in self.kinds if getattr(self, kind) is not None)

    @property
    def settings(self) -> Any:
        """The settings of that kind, an instance of the registry's settings class."""
        return getattr(self, self.kind)


class SourceEntry(Choice):
    """One source of records."""

    cluster: str = ""
    """Name of the cluster that the records come from, a label on their alerts. Default: the top-level `cluster`."""
    labels: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    """Labels for the alerts of this source, such as `environment: production`. Default: none."""


class Patterns(Section):
    """Lists of patterns: `*` stands for anything, `?` for one character, `[ab]` for one of several; case counts."""

    sources: list[str] = Field(default_factory=list)
    """Names of sources, as the configuration calls them; of an alert, that of its opening record. Default: none."""
    clusters: list[str] = Field(default_factory=list)
    """Names of clusters, such as `prod-*`. Default: none."""
    rules: list[str] = Field(default_factory=list)
    """Ids of rules, such as `falco:*` for what Falco itself found; for the log `alerts` only. Default: none."""
    tags: list[str] = Field(default_factory=list)
    """Tags of rules, such as `attack.t1609`, of which one has to match; for the log `alerts` only. Default: none."""
    formats: list[str] = Field(default_factory=list)
    """Formats of records: falco, hubble, kube_audit, vpc_flow; for the log `events` only. Default: none."""

    def selection(self) -> Selection:
        """Return what the deliver role is told."""
        return Selection(**{kind: tuple(patterns) for kind, patterns in self})


class SinkEntry(Choice):
    """One destination; each has its own position in its log, so that a dead one holds up nobody."""

    log: LogName = "alerts"
    """What is delivered: `alerts`, each whenever it changes, or `events`, every record as it was received. A new
    destination of events begins with those that arrive from then on. Default: alerts."""
    min_level: Level = _POLICY.filter.min_level
    """The lowest level of an alert that is delivered: informational, low, medium, high or critical. Default:
    informational, which is all."""
    filter: Patterns = Field(default_factory=Patterns)
    """Delivers only what matches each list that is not empty; one of its patterns is enough. A changed filter counts
    for alerts opened from then on: if the first revision was delivered, later ones are, too. Default: everything."""
    exclude: Patterns = Field(default_factory=Patterns)
    """Does not deliver what matches a pattern of any list, whatever `filter` says. Default: nothing."""
    backlog_age_s_max: Annotated[float, Field(gt=0)] = _POLICY.backlog_age_s_max
    """Seconds that something may wait for a destination that does not take it; then it expires, which the ledger
    counts. Default: 604800 (a week)."""
    backlog_bytes_max: Annotated[int, Field(gt=0)] = _POLICY.backlog_bytes_max
    """Bytes that may wait for this destination, of events as they lie on disk, compressed; beyond them the oldest
    expire. Events expire as well when the journal's own limits remove them. Default: 1073741824 (1 GiB)."""

    @model_validator(mode="after")
    def _fits_the_log(self) -> Self:
        lists = ("rules", "tags") if self.log == "events" else ("formats",)
        wrong = [
            f"{key}.{kind}" for key in ("filter", "exclude") for kind in lists if getattr(getattr(self, key), kind)
        ]
        if self.log == "events" and self.min_level != _POLICY.filter.min_level:
            wrong.append("min_level")
        if wrong:
            has = (
                "records, which have no level, rule or tag" if self.log == "events" else "alerts, which have no format"
            )
            raise ValueError(f"`{'`, `'.join(wrong)}` can't be used here: `log: {self.log}` delivers {has}")
        return self

    def policy(self) -> DeliveryPolicy:
        """Return what the deliver role is told."""
        passing = Filter(self.min_level, self.filter.selection(), self.exclude.selection())
        return DeliveryPolicy(passing, self.backlog_age_s_max, self.backlog_bytes_max)


def _choice(name: str, base: type[Choice], registry: Mapping[str, tuple[type[BaseModel], Any]]) -> Any:
    """Extend an entry by one optional key for each kind of a registry."""
    kinds: dict[str, Any] = {
        kind: (settings | None, Field(default=None, description=(settings.__doc__ or "").partition("\n")[0]))
        for kind, (settings, _) in registry.items()
    }
    made = create_model(name, __base__=base, __module__=__name__, __doc__=base.__doc__, **kinds)
    made.kinds = tuple(registry)
    return made


if TYPE_CHECKING:
    Source = SourceEntry
    Sink = SinkEntry
else:
    Source = _choice("Source", SourceEntry, SOURCES)
    Sink = _choice("Sink", SinkEntry, SINKS)


PACKS: Final = ("starter", "audit", "audit-advanced", "chains", "falco", "flow", "behaviour")
"""Shipped packs that are on by default: what `policy` finds are choices of a site, not attacks."""


class FalcoRules(Section):
    """How rules in Falco's language are run on Kubernetes audit events and other documents."""

    compat: Literal["falco", "fixed"] = "fixed"
    """Whose reading of an audit event counts: `falco`, that of Falco's k8saudit plugin, or `fixed`, without the
    plugin's faults. Default: fixed."""
    rule_matching: Literal["first", "all"] = "all"
    """How many rules may match one event: `first`, the first of their order as in Falco's own default, or `all`.
    Default: all."""

    def options(self) -> FalcoOptions:
        """Return what detection is told."""
        return FalcoOptions(Mode(self.compat), RuleMatching(self.rule_matching))


class Rules(Section):
    """Which rules detection uses."""

    packs: list[str] = Field(default_factory=lambda: [*PACKS])
    """Names of shipped rule packs. Default: all but `policy`; [] uses your own rules alone."""
    paths: list[str] = Field(default_factory=list)
    """Files of rules in Sigma's or Falco's language, and folders that are searched for `.yml` and `.yaml` files; they
    are read in this order, the files of a folder in that of their names. Default: none."""
    falco: FalcoRules = Field(default_factory=FalcoRules)
    """How rules in Falco's language are run. Default: as below."""
    shadow: list[str] = Field(default_factory=list)
    """Packs, ids and titles of rules that run and count, and alert nobody; `falco:NAME` for what Falco reports.
    `vedette rules shadow` shows what they would have done. Default: none."""
    heard: list[str] = Field(default_factory=list)
    """What alerts all the same, named as in `shadow`: the telemetry of Falco that the pack `falco` keeps in shadow,
    or a rule of a pack in shadow. Default: none."""


class Alerts(Section):
    """How findings become alerts. Times are arrival times."""

    rollup_window_s: Annotated[float, Field(gt=0)] = ROLLUP_WINDOW_NS / SECOND_NS
    """Seconds after its opening during which findings that share its dedup key join an alert. Default: 3600."""
    revision_interval_s: Annotated[float, Field(gt=0)] = REVISION_INTERVAL_NS / SECOND_NS
    """Seconds between the first and the second revision of an alert; the interval doubles with each one. Default: 5."""
    revision_interval_s_max: Annotated[float, Field(gt=0)] = REVISION_INTERVAL_NS_MAX / SECOND_NS
    """Longest time in seconds between two revisions of a busy alert. Default: 300."""
    open_alerts_max: Annotated[int, Field(gt=0)] = OPEN_ALERTS_MAX
    """Alerts that findings can join at the same time; beyond it the rule with the most of them closes its oldest.
    Default: 50000."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.revision_interval_s_max < self.revision_interval_s:
            raise ValueError("`revision_interval_s_max` must not be below `revision_interval_s`")
        return self

    def rollup(self) -> RollUpSettings:
        """Return what roll-up is told."""
        return RollUpSettings(
            window_ns=round(self.rollup_window_s * SECOND_NS),
            revision_interval_ns=round(self.revision_interval_s * SECOND_NS),
            revision_interval_ns_max=round(self.revision_interval_s_max * SECOND_NS),
            open_alerts_max=self.open_alerts_max,
        )


class Journal(Section):
    """How long records are kept. What detection still needs stays regardless of these limits."""

    segment_bytes_max: Annotated[int, Field(ge=MIB)] = _RETENTION.segment_bytes_max
    """Bytes of one segment of the intake log; only whole segments are removed. Default: 268435456 (256 MiB)."""
    segment_age_s_max: Annotated[float, Field(ge=0)] = _RETENTION.segment_age_ns_max / SECOND_NS
    """Seconds after which a segment ends even if it is small; 0: never. Default: 3600."""
    keep_days: Annotated[float, Field(gt=0)] = _RETENTION.keep_age_ns / SECOND_NS / _DAY_S
    """Days that records are kept for evidence and back-tests. Default: 7."""
    keep_bytes: Annotated[int, Field(ge=MIB)] = _RETENTION.keep_bytes
    """Bytes of records that are kept; beyond them the oldest segments go early. Default: 10737418240 (10 GiB)."""
    keep_core_bytes: Annotated[int, Field(ge=MIB)] = CORE_BYTES_MAX
    """Bytes of the core log, `core.db`; beyond them the oldest revisions of alerts that every destination has settled
    go before their day is over. Default: 2147483648 (2 GiB)."""
    dedup_horizon_s: Annotated[float, Field(gt=0)] = DEDUP_HORIZON_NS / SECOND_NS
    """Seconds during which a record that a client sends again is recognised. Default: 900."""
    checkpoint_interval_s: Annotated[float, Field(gt=0)] = 30.0
    """Seconds between checkpoints of detection's state: what a restart has to replay at most. Default: 30."""

    def retention(self) -> Retention:
        """Return what the intake log is told."""
        return Retention(
            segment_bytes_max=self.segment_bytes_max,
            segment_age_ns_max=round(self.segment_age_s_max * SECOND_NS),
            keep_age_ns=round(self.keep_days * _DAY_S * SECOND_NS),
            keep_bytes=self.keep_bytes,
            dedup_horizon_ns=round(self.dedup_horizon_s * SECOND_NS),
        )


class Log(Section):
    """What the agent writes on standard error, as one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written: debug, info, warning or error. Default: info."""


def default_data_dir() -> Path:
    """Return `$XDG_STATE_HOME/vedette`, or `~/.local/state/vedette` where that variable is not set."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vedette"


def _default_sources() -> dict[Name, Source]:
    listeners = {
        "falco": {"listen": "127.0.0.1:2801", "routes": {"/": "falco", "/intake/*": "*"}},
        "audit": {"listen": "127.0.0.1:9765", "routes": {"/k8s-audit": "kube_audit"}},
    }
    return {name: Source.model_validate({"http": listener}) for name, listener in listeners.items()}


def _default_sinks() -> dict[Name, Sink]:
    return {"store": Sink.model_validate({"store": {}})}


class Config(Section):
    """The configuration of one Vedette. All keys are optional."""

    data_dir: Path = Field(default_factory=default_data_dir)
    """Folder that holds the journal and the alerts; one Vedette runs on it at a time. Default:
    `$XDG_STATE_HOME/vedette`, or `~/.local/state/vedette` where that variable is not set."""
    cluster: str = ""
    """Name of the cluster, a label on every alert whose source names none. Default: empty."""
    sources: Annotated[dict[Name, Source], Field(min_length=1)] = Field(default_factory=_default_sources)
    """Where records come from: a name for each source, and exactly one kind. Default: two HTTP ports on 127.0.0.1, 2801
    as Falcosidekick has it and 9765 as Falco's k8saudit plugin has it."""
    rules: Rules = Field(default_factory=Rules)
    """Which rules detection uses. Default: the shipped packs but `policy`."""
    alerts: Alerts = Field(default_factory=Alerts)
    """How findings become alerts. Default: as below."""
    sinks: Annotated[dict[Name, Sink], Field(min_length=1)] = Field(default_factory=_default_sinks)
    """Where alerts go: a name for each destination, and exactly one kind. Default: `store`, the embedded store that
    `vedette alerts` reads."""
    journal: Journal = Field(default_factory=Journal)
    """How long records are kept. Default: as below."""
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    """The port that Prometheus scrapes and that a kubelet probes. Default: as below."""
    log: Log = Field(default_factory=Log)
    """What the agent writes on standard error. Default: as below."""

    def detection_settings(self) -> DetectionSettings:
        """Return what of the configuration changes detection: it enters the intake log."""
        return DetectionSettings(
            cluster=self.cluster,
            sources={name: SourceLabels(entry.cluster, entry.labels) for name, entry in self.sources.items()},
            rollup=self.alerts.rollup(),
            shadow=tuple(self.rules.shadow),
            heard=tuple(self.rules.heard),
        )
