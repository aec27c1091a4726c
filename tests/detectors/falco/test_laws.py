"""Laws over generated conditions, events and broken rule files."""

import json
import random
import re

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from detectors.compiled import compile_predicate
from detectors.falco import load_falco_rules
from detectors.falco.anchors import bounds_of
from detectors.falco.audit_event import Mode
from detectors.falco.conditions import compile_condition, matches
from detectors.falco.explaining import explain
from detectors.falco.field_types import REQUIRED
from detectors.falco.json_values import JsonValues
from detectors.falco.lexer import ConditionError
from detectors.falco.matching import Matcher, RuleMatching
from detectors.falco.output import OutputError, parse_output
from detectors.falco.parser import LIST_OPS, OPERATORS, parse
from detectors.falco.sources import SOURCES
from detectors.falco.syntax import MODIFIERS, Expr, render
from detectors.fields import getter
from detectors.predicate import GetValues
from detectors.predicate import matches as matches_predicate
from detectors.rule import RuleText

from .strategies import ANY_CONDITIONS, AUDIT_CONDITIONS, AUDIT_EVENTS, TYPED_EVENTS

AUDIT = SOURCES["k8s_audit"]
MUTANTS = 10_000
SEED_RULE = """
- {rule: first, desc: d, output: o, priority: debug, source: k8s_audit, condition: CONDITION}
- {rule: second, desc: d, output: o, priority: debug, source: k8s_audit, condition: "ka.verb in (create, exec)"}
"""
PLACED = re.compile(r"bad\.yaml:\d+(:\d+)?: .+", re.DOTALL)

SEED = """
- required_engine_version: 0.40.0
- required_plugin_versions: [{name: k8saudit, version: 0.7.0, alternatives: [{name: k8saudit-eks, version: 0.4.0}]}]
- list: verbs
  items: [create, "patch it", delete]
- list: more
  items: [verbs, get]
- macro: kevt
  condition: (jevt.value[/stage] in ("ResponseComplete"))
- macro: pods
  condition: >
    kevt and ka.target.resource = "pods"
    and not ka.user.name startswith system:
- rule: Exec
  desc: Exec into a pod
  condition: pods and ka.verb in (more) and (ka.uri.param[command] regex '^/bin/[a-z]+$' or ka.uri glob "*sh*")
  output: "exec (user=%ka.user.name groups=%ka.user.groups %20ka.verb %toupper(ka.target.name))"
  priority: NOTICE
  source: k8s_audit
  tags: [k8s, T1609]
  exceptions:
    - name: users
      fields: [ka.user.name, ka.target.namespace]
      comps: [=, in]
      values: [[admin, [a, b]], ["x y", c]]
    - name: names
      fields: ka.target.name
      comps: in
      values: [debug]
- rule: Exec
  condition: and ka.response.code >= 200
  exceptions: [{name: names, values: [other]}]
  tags: [more]
  override: {condition: append, exceptions: append, tags: append}
- rule: Open
  desc: Open
  condition: evt.type in (open, openat) and fd.name pmatch (/etc, /root) and proc.pid > 0x10 and fd.net != 10.0.0.0/8
  output: open %fd.name
  priority: debug
  enabled: false
"""
TOKENS = (
    *"()[]{}:,-'\"\\%&*|>#!?\n\t \x00\u2028",
    *("- ", "\n  ", "and ", "not ", "in ", "exists", "~", "null", "true", "0x", "&a ", "*a", "<<: "),
    *("- rule: Exec\n", "override: {", "append: true", "\ud800", "é"),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(ANY_CONDITIONS)
def test_a_condition_is_read_back_from_its_text(expr: Expr) -> None:
    assert parse(render(expr)) == expr


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(AUDIT_CONDITIONS, AUDIT_EVENTS, st.sampled_from(Mode))
def test_compiled_agrees_with_interpreted(expr: Expr, event: dict[str, object], mode: Mode) -> None:
    get = JsonValues(event, mode).get
    assert compile_condition(expr, AUDIT)(get) is matches(expr, AUDIT, get)


def refusal(text: str) -> ConditionError | None:
    try:
        parse(text)
    except ConditionError as error:
        return error
    return None


@given(st.text() | st.from_regex(r"(not |\(|a\.b|=| in |and |or |val\(|'|\"|\\|,|\)|\[| ){1,12}", fullmatch=True))
def test_any_text_is_a_condition_or_refused_with_its_place(text: str) -> None:
    error = refusal(text)
    assert error is None or (0 <= error.offset <= len(text) and error.message)


def shown(text: str) -> str | OutputError:
    try:
        return parse_output(text, AUDIT).message(lambda _name, _arg: "\x00\n\ud800")
    except OutputError as error:
        return error


@given(st.text() | st.from_regex(r"%[0-9a-z.\[\]()%\" ,]*", fullmatch=True))
def test_any_text_is_an_output_or_refused_with_its_place(text: str) -> None:
    found = shown(text)
    assert isinstance(found, str) or (0 <= found.offset <= len(text) and found.message)


def mutant(chance: random.Random) -> str:
    text = SEED
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 0, 1, 1, 5, 40)))
        text = text[:start] + chance.choice(("", *TOKENS)) + text[end:]
    return text


def test_the_seed_of_the_mutants_loads() -> None:
    found = load_falco_rules([RuleText("seed.yaml", SEED, "test")])
    assert found.errors == ()
    assert [rule.name for rule in found.rules] == ["Exec", "Open"]


def test_broken_rule_files_are_refused_with_place_and_reason() -> None:
    chance = random.Random(20261121)
    refused = 0
    for _ in range(MUTANTS):
        found = load_falco_rules([RuleText("bad.yaml", mutant(chance), "test")])
        refused += bool(found.errors)
        assert all(PLACED.fullmatch(str(error)) for error in found.errors), found.errors
        assert all(warning.line and warning.message for warning in found.warnings), found.warnings
    assert MUTANTS // 3 < refused < MUTANTS


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(AUDIT_CONDITIONS, AUDIT_EVENTS, st.sampled_from(Mode))
def test_a_rule_that_matches_passes_its_guards(expr: Expr, event: dict[str, object], mode: Mode) -> None:
    text = SEED_RULE.replace("CONDITION", json.dumps(render(expr)))
    loaded = load_falco_rules([RuleText("r.yaml", text, "test")])
    assert loaded.errors == ()
    for matching in RuleMatching:
        matcher = Matcher(loaded.rules, matching)
        found = matcher.match_document(event, mode)
        assert found == matcher.interpret_document(event, mode)
        for rule in found:
            for clause in explain(rule, JsonValues(event, mode).get):
                test = parse(f"{clause.field} {clause.test.removeprefix('not: ')}")
                assert matches(test, AUDIT, JsonValues(event, mode).get) is not clause.negated


def values_in(event: dict[str, object]) -> GetValues:
    return lambda path: getter(path)(event)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=500)
@given(AUDIT_CONDITIONS, st.lists(TYPED_EVENTS, min_size=1, max_size=5), st.sampled_from(Mode))
def test_a_rule_lies_between_its_bounds(expr: Expr, events: list[dict[str, object]], mode: Mode) -> None:
    text = SEED_RULE.replace("CONDITION", json.dumps(render(expr)))
    (rule, _) = load_falco_rules([RuleText("r.yaml", text, "test")]).rules
    predicate, narrow = bounds_of(rule)
    compiled = compile_predicate(predicate)
    for event in events:
        holds = matches_predicate(predicate, values_in(event))
        found = matches(rule.condition, AUDIT, JsonValues(event, mode).get)
        assert holds or not found
        assert found or not matches_predicate(narrow, values_in(event))
        assert compiled(event) is holds


FIELDS = sorted(SOURCES["syscall"].fields)
WRAPPED = (
    "{}",
    "toupper({})",
    "b64({})",
    "len({})",
    "basename({})",
    'join(",", ({}))',
    "concat({}, {})",
    "toupper(b64({}))",
)
RIGHT = ("a", "5", "0x1f", "true", "1.2.3.4", "10.0.0.0/8", "6162", "'a*'", "val({})", "toupper({})")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(("::1", "YQ==", "5")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=400)
@given(st.data())
def test_no_value_of_an_event_breaks_a_comparison(data: st.DataObject) -> None:
    info = SOURCES["syscall"].fields[data.draw(st.sampled_from(FIELDS))]
    field = info.name + ("[a]" if info.argument in REQUIRED else "")
    left = data.draw(st.sampled_from(WRAPPED)).replace("{}", field)
    op = data.draw(st.sampled_from([op for op in OPERATORS if op != "exists"]))
    right = data.draw(st.sampled_from(RIGHT)).replace("{}", field)
    modifier = data.draw(st.sampled_from(("", "", *MODIFIERS)))
    items = f"({right}, {right})" if modifier or op in LIST_OPS else right
    expr = accepted(f"{left} {op} {modifier} {items}")
    assume(expr is not None)
    assert expr is not None
    value = data.draw(VALUES)
    found = compile_condition(expr, SOURCES["syscall"])(lambda _name, _arg: value)
    assert found is matches(expr, SOURCES["syscall"], lambda _name, _arg: value)
    output = parse_output(f"*%{field}", SOURCES["syscall"]) if not info.filter_only else None
    assert output is None or json.dumps(output.fields(lambda _name, _arg: value)) + output.message(lambda _n, _a: value)


def accepted(text: str) -> Expr | None:
    try:
        expr = parse(text)
        compile_condition(expr, SOURCES["syscall"])
    except ConditionError:
        return None
    return expr
