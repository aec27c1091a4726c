"""Each language's rule files, its own scraps, and what must hold of a file gone wrong."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.falco import load_falco_rules
from detectors.falco.matching import Matcher as FalcoMatcher
from detectors.falco.matching import RuleMatching
from detectors.fields import getter
from detectors.loading import check_rules, load_rules
from detectors.packs import read_rule_files, shipped_pack_texts
from detectors.predicate import matches
from detectors.rule import Rule, RuleText
from detectors.sigma.check import Severity
from detectors.sigma.logsource import contains
from vedette.schema.errors import RuleError
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

from .mutation import Corpus

CPU_S_MAX: Final = 5.0
"""CPU time of one file: a good one takes some hundredths."""
TEXTS: Final = Path(__file__).parent / "bad_rule_texts"
EVENT: Final[dict[str, Any]] = {
    "auditID": "1",
    "verb": "get",
    "user": {"username": "a b"},
    "level": "Request",
    "sourceIPs": ["10.0.0.1"],
    "CommandLine": "sh -c 'curl x | sh'",
}
PAYLOAD: Final = json.dumps(EVENT).encode()
KUBE_AUDIT: Final = DECODERS["kube_audit"]
RUN: Final = Run("s", "kube_audit", 1)
SIGMA_SCRAPS: Final = (
    *("|re", "|re|i", "|cidr", "|base64", "|wide|base64offset|contains", "|windash", "|expand", "|fieldref", "|gt"),
    *(
        "|gte",
        "|exists",
        "|all",
        "|neq",
        "|cased",
        "|utf16le",
        "|hour",
        "|year|lt",
        "|nope",
        "||",
        "|contains|contains",
    ),
    *("1 of them", "all of x*", "1 of", "near", "| count() > 5", "[", "detection:", "condition:", "logsource:"),
    *("filter:", "correlation:", "transformations:", "vedette:", "action: global", "title:", "id: 5", "id: ''"),
    *("rules: any", "related: [{}]", "tags: [attack.t1]", "level: loud", "status: 3"),
)
FALCO_SCRAPS: Final = (
    *(
        "evt.type",
        "ka.verb",
        "proc.name",
        "fd.name[0]",
        "jevt.value[/a/b]",
        "jevt.value[",
        "ka.req.pod.containers.image",
    ),
    *("=", "!=", "in (", "intersects (a", "pmatch", "glob '*'", "startswith", "bcontains 0xff", "exists", "<NA>"),
    *("tolower(", "b64(proc.args)", "val(", "len(", "regex '(a+)+$'", "regex '('", "oneof (", "allof"),
    *("%proc.name", "%ka.verb[", "*%", "%toupper(", "%container.info", "override: {condition: append}", "append: true"),
    *("- macro: m\n", "- list: l\n", "- rule: r\n", "items: [a, [b]]", "exceptions: [{name: e, fields: [a]}]"),
    *("required_engine_version: 0.99.0", "required_engine_version: x", "source: nope", "priority: LOUD", "enabled: 3"),
    *("comps: [=, in]", "values: [[a], b]", "condition: never", "tags: T1"),
)


class Language(NamedTuple):
    """A rule language: its good texts, and `try_out`, which loads a text, runs it and returns its errors."""

    corpus: Corpus
    try_out: Callable[[RuleText], Iterable[RuleError]]


class Outcome(NamedTuple):
    """What became of a file."""

    errors: int
    cpu_s: float


def examine(language: Language, content: bytes, path: Path) -> Outcome:
    """Read a file as the agent does, load and run it; every error has a place in the file and a reason."""
    path.write_bytes(content)
    began = time.process_time()
    try:
        errors = list(language.try_out(*read_rule_files([path])))
    except RuleError as error:  # it can't be read as text
        errors = [error]
    taken = time.process_time() - began
    lines = content.count(b"\n") + content.count(b"\r") + content.count(b"\xc2\x85") + content.count(b"\xe2\x80") + 1
    for refusal in errors:
        assert refusal.path == str(path), f"another path: {refusal}"
        assert 1 <= refusal.line <= lines + 1, f"no line of the file: {refusal}"
        assert refusal.message.strip(), f"no reason: {refusal}"
    assert taken < CPU_S_MAX, f"took {taken:.1f} s of CPU"
    return Outcome(len(errors), taken)


def sigma(more: Sequence[str] = ()) -> Language:
    """Sigma rules: one of everything, shapes of public rules, and those that ship."""
    own = [read("sigma_everything.yml"), read("sigma_shapes.yml")]
    return Language(Corpus(own, [*(text.text for text in shipped_pack_texts()), *more], SIGMA_SCRAPS), _try_agent)


def falco(more: Sequence[str] = ()) -> Language:
    """Rules in Falco's language."""
    return Language(Corpus([read("falco_everything.yaml")], more, FALCO_SCRAPS), _try_falco)


def read(name: str) -> str:
    return (TEXTS / name).read_text(encoding="utf-8")


def public_sigma(shared: Path) -> list[str]:
    """SigmaHQ's rules, read in place."""
    archive = shared / "peers" / "sigmahq-rules.tar.gz"
    if not archive.exists():
        return []
    with tarfile.open(archive) as files:
        found = [files.extractfile(member) for member in files if member.name.endswith(".yml")]
        return [file.read().decode() for file in found if file is not None]


def public_falco(shared: Path) -> list[str]:
    """Falco's rule files, read in place."""
    folder = shared / "conformance" / "falco"
    files = sorted((*folder.glob("rules/**/*.y*ml"), *folder.glob("k8s_audit/rules/*.y*ml")))
    return [file.read_text(encoding="utf-8") for file in files]


def _try_agent(text: RuleText) -> Iterable[RuleError]:
    """Do with a text what the agent and `vedette rules check` do; hold the engine against the meaning of predicates."""
    loaded = load_rules([text])
    problems = check_rules([text], [source for decoder in DECODERS.values() for source in decoder.logsources])
    for problem in problems:
        assert problem.path == text.path
        assert problem.line >= 1, f"no line: {problem}"
        assert problem.message.strip()
    assert any(problem.severity is Severity.ERROR for problem in problems) == bool(loaded.errors)
    event = Event(Record(1, 0, PAYLOAD, RUN, 1), KUBE_AUDIT, KUBE_AUDIT.decode(PAYLOAD, ""))
    found = Engine(loaded.rules, DECODERS, loaded.correlations).match(event)
    for match in found:
        match.explain()
        match.dedup_values()
    decided = [rule.info for rule in loaded.rules if rule.exact is None and not rule.idle and _applies(rule)]
    assert [match.rule for match in found if match.rule in decided] == decided
    return loaded.errors


def _applies(rule: Rule) -> bool:
    return any(contains(rule.logsource, source) for source in KUBE_AUDIT.logsources) and matches(
        rule.predicate, lambda field: getter(field)(EVENT)
    )


def _try_falco(text: RuleText) -> Iterable[RuleError]:
    found = load_falco_rules([text])
    for matching in RuleMatching:
        matcher = FalcoMatcher(found.rules, matching)
        assert matcher.match_document(EVENT) == matcher.interpret_document(EVENT)
    return (*found.errors, *_try_agent(text))
