"""Laws over generated predicates and documents: every faster form means what the interpreter says."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.anchors import branches, weaken
from detectors.compiled import compile_predicate
from detectors.engine import Engine
from detectors.explain import explain
from detectors.fields import Path, getter, locate, render
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, atoms, fields, holds, matches, value_test
from detectors.rule import Rule
from vedette.schema.event import Event, LogSource
from vedette.schema.level import Level
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo

if TYPE_CHECKING:
    from vedette.schema.finding import Clause

TEXTS = [
    "",
    "x",
    "X",
    "xy",
    "yX",
    "ß",
    "SS",
    "ΑΣ",
    "ας",
    "403",
    "403.0",
    "true",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "a*b\\?",
]
TIMES = ["2026-11-21T03:41:01Z", 1_795_260_829, "nan", "1_0"]
SCALARS = st.sampled_from([*TEXTS, *TIMES, 403, 403.0, 0.5, 2**70, True, False, None])
KEYS = st.sampled_from(["a", "b", "c", "d", "c.d", "e"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e"]), VALUES, max_size=4)
DOTTED_DOCUMENTS = st.dictionaries(st.sampled_from(["a", "b", "a.b", "b.c", "b.c.d", "c.d"]), VALUES, max_size=4)
FIELDS = st.sampled_from(["a", "b", "a.b", "b.c", "b.c.d", "a.b.c.d", "e"])
TEXT_OPS = st.sampled_from([Op.EQUALS, Op.EQUALS, Op.PREFIX, Op.SUFFIX, Op.CONTAINS])
GLOBS = st.sampled_from(["*", "?", "x*", "*x", "?x*", "*\\**", "s*s", "1?.*"])
PATTERNS = st.sampled_from(["x", "(?i)^X$", "^$", "\\d+", "s{2}"])
NETWORKS = st.sampled_from(["10.0.0.0/8", "::/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.1/32"])
ORDERS = st.sampled_from([Op.LT, Op.LTE, Op.GT, Op.GTE])
REFERENCES = st.sampled_from([Op.SAME, Op.PREFIX_FIELD, Op.SUFFIX_FIELD, Op.CONTAINS_FIELD])
PARTS = st.sampled_from([Op.MINUTE, Op.HOUR, Op.DAY, Op.WEEK, Op.MONTH, Op.YEAR])
ANY_FIELD = st.none() | FIELDS
ATOMS = st.one_of(
    st.builds(Atom, FIELDS, TEXT_OPS, st.sampled_from([*TEXTS, 403, 0.5, True]), st.booleans()),
    st.builds(Atom, ANY_FIELD, TEXT_OPS, st.sampled_from(TEXTS), st.booleans()),
    st.builds(Atom, ANY_FIELD, st.just(Op.WILDCARD), GLOBS, st.booleans()),
    st.builds(Atom, ANY_FIELD, st.just(Op.REGEX), PATTERNS),
    st.builds(Atom, FIELDS, st.just(Op.CIDR), NETWORKS),
    st.builds(Atom, FIELDS, ORDERS, st.sampled_from([0, 403, 0.5])),
    st.builds(Atom, FIELDS, REFERENCES, FIELDS),
    st.builds(Atom, FIELDS, PARTS, st.integers(0, 59)),
    st.builds(Atom, FIELDS, st.sampled_from([Op.EXISTS, Op.NULL])),
)
PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=4).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=10,
)


class StubDecoder:
    """Decodes to the document it was made with; the head drops what is not in `head_fields`."""

    name = "stub"
    logsources = (LogSource("kubernetes", "audit", "application"),)
    dedup_by = ("a",)

    def __init__(self, head_fields: frozenset[str] | None) -> None:
        self.head_fields = head_fields
        self.decoded = 0

    def decode_all(self, payload: bytes, context: str) -> dict[str, Any]:
        self.decoded += 1
        return dict(msgspec.json.decode(payload))


def interpreted(predicate: Predicate, doc: dict[str, Any]) -> bool:
    return matches(predicate, lambda field: getter(field)(doc))


def event_of(doc: dict[str, Any], decoder: StubDecoder) -> Event:
    kept = decoder.head_fields
    head = doc if kept is None else {key: value for key, value in doc.items() if key in kept}
    record = Record(7, 0, msgspec.json.encode(doc), Run("s", "stub", 1), 1)
    return Event(record, decoder, head)  # type: ignore[arg-type]  # the engine needs no more of a decoder


def rule_of(name: str, predicate: Predicate) -> Rule:
    return Rule(RuleInfo(name, name, Level.LOW), LogSource("kubernetes"), predicate, name)


@given(PREDICATES, DOCUMENTS | DOTTED_DOCUMENTS)
def test_compiled_means_what_is_interpreted(predicate: Predicate, doc: dict[str, Any]) -> None:
    assert compile_predicate(predicate)(doc) == interpreted(predicate, doc)


@given(ANY_FIELD, DOCUMENTS | DOTTED_DOCUMENTS)
def test_a_getter_returns_what_is_located(field: str | None, doc: dict[str, Any]) -> None:
    assert getter(field)(doc) == tuple(value for _, value in locate(field, doc))


@given(PREDICATES)
def test_predicates_are_stored_without_loss(predicate: Predicate) -> None:
    assert msgspec.json.decode(msgspec.json.encode(predicate), type=Predicate) == predicate
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(predicate), type=Predicate) == predicate
    assert hash(predicate) == hash(copy.copy(predicate))


@given(PREDICATES, st.sets(FIELDS), DOCUMENTS | DOTTED_DOCUMENTS)
def test_a_predicate_implies_what_it_is_weakened_to(predicate: Predicate, known: set[str], doc: dict[str, Any]) -> None:
    weakened = weaken(predicate, known.__contains__)
    if weakened is not None:
        assert set(fields(weakened)) <= known
        assert interpreted(weakened, doc) or not interpreted(predicate, doc)


@given(PREDICATES, DOCUMENTS)
def test_a_predicate_is_the_or_of_its_branches(predicate: Predicate, doc: dict[str, Any]) -> None:
    assert interpreted(Or(tuple(branches(predicate))), doc) == interpreted(predicate, doc)


@pytest.mark.parametrize("head_fields", [None, frozenset({"a", "b"}), frozenset[str]()], ids=["whole", "head", "none"])
@given(st.lists(PREDICATES, max_size=8), st.lists(DOCUMENTS, min_size=1, max_size=6))
def test_the_engine_finds_what_brute_force_finds(
    head_fields: frozenset[str] | None, predicates: list[Predicate], docs: list[dict[str, Any]]
) -> None:
    rules = [rule_of(str(number), predicate) for number, predicate in enumerate(predicates)]
    decoder = StubDecoder(head_fields)
    engine = Engine(rules, {"stub": decoder})  # type: ignore[dict-item]
    for doc in [*docs, *docs]:
        found = [match.rule.rule_id for match in engine.match(event_of(doc, decoder))]
        assert found == [rule.info.rule_id for rule in rules if interpreted(rule.predicate, doc)]


@given(PREDICATES, DOCUMENTS | DOTTED_DOCUMENTS)
def test_explanations_hold_what_they_say(predicate: Predicate, doc: dict[str, Any]) -> None:
    labelled = msgspec.json.decode(_label(predicate), type=Predicate)
    by_place = {atom.where: atom for atom in atoms(labelled)}
    if not interpreted(labelled, doc):
        return
    for clause in explain(labelled, doc):
        atom = by_place[clause.where]
        assert (atom.field or "") == clause.field
        assert holds(atom, lambda field: getter(field)(doc)) is not clause.negated
        if clause.path and not clause.negated:
            _check_witness(atom, clause, doc)


def _label(predicate: Predicate) -> bytes:
    """Give every atom a place of its own."""
    numbers = iter(range(1000))

    def label(tree: Any) -> Any:
        if tree["type"] == "atom":
            tree["where"] = f"w{next(numbers)}"
        for part in tree.get("parts", [tree["part"]] if "part" in tree else []):
            label(part)
        return tree

    return msgspec.json.encode(label(msgspec.to_builtins(predicate)))


def _check_witness(atom: Atom, clause: Clause, doc: dict[str, Any]) -> None:
    """Change the named value so that the test fails for it: the atom fails, unless another value passes."""
    located = [(path, value) for path, value in locate(atom.field, doc)]
    test = value_test(atom, lambda field: getter(field)(doc))
    passing = [path for path, value in located if test(value)]
    named = next(path for path, _ in located if render(path) == clause.path)
    assert named == passing[0]
    changed = _changed(doc, named, atom)
    if len(passing) == 1 and atom.op is not Op.EXISTS:
        assert not holds(atom, lambda field: getter(field)(changed))
    elif holds(atom, lambda field: getter(field)(changed)):
        assert explain(atom, changed)[0].path != clause.path or atom.op is Op.EXISTS


def _changed(doc: dict[str, Any], path: Path, atom: Atom) -> dict[str, Any]:
    """Put in the place of a value one that only EXISTS takes; for that, take it away."""
    changed = copy.deepcopy(doc)
    *way, last = path
    inner: Any = changed
    for step in way:
        inner = inner[step]
    if atom.op is Op.EXISTS:
        del inner[last]
    else:
        inner[last] = {}
    return changed
