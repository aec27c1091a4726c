"""Claims are arithmetic: members that keep to it store every offset, and none twice, whoever dies when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.sources.kafka.claims import (
    CLAIMS_MAX,
    Claim,
    Standing,
    debt,
    decode_claims,
    encode_claims,
    resume_at,
)

OFFSETS = st.integers(0, 2**63 - 1)
CLAIMS = st.dictionaries(
    st.text("abcXYZ019_-", min_size=12, max_size=12), st.builds(Claim, OFFSETS, OFFSETS), max_size=8
)


@given(CLAIMS)
def test_what_is_encoded_is_decoded(claims: dict[str, Claim]) -> None:
    assert decode_claims(encode_claims(claims)) == claims


def test_the_newest_claims_fit_what_a_broker_takes() -> None:
    top = 2**63 - 1
    claims = {f"member-{number:05d}": Claim(top - 1000 + number, top - 999 + number) for number in range(1000)}
    text = encode_claims(claims)
    assert len(text) <= 4096
    assert list(decode_claims(text)) == list(claims)[-CLAIMS_MAX:]


@pytest.mark.parametrize(
    "metadata",
    ["", "null", "[]", "x", '{"claims":{"a":[1,2]}}', '{"vedette":2,"claims":{}}', '{"vedette":1,"claims":{"a":[1]}}'],
)
def test_what_others_wrote_claims_nothing(metadata: str) -> None:
    assert decode_claims(metadata) == {}


def test_the_form_is_kept() -> None:
    """Agents of several versions share a group during an upgrade."""
    text = encode_claims({"AAAAAAAAAAAA": Claim(3, 5)})
    assert json.loads(text) == {"vedette": 1, "claims": {"AAAAAAAAAAAA": [3, 5]}}


@pytest.mark.parametrize(
    ("standing", "stored", "expected"),
    [
        pytest.param(Standing(None, {}), None, None, id="nothing known"),
        pytest.param(Standing(7, {}), None, 7, id="committed"),
        pytest.param(Standing(7, {}), 9, 9, id="Kafka has forgotten"),
        pytest.param(Standing(7, {"a": Claim(7, 12)}), 9, 12, id="claimed"),
        pytest.param(Standing(None, {}), 0, 0, id="read from the beginning, nothing yet"),
    ],
)
def test_where_an_owner_goes_on(standing: Standing, stored: int | None, expected: int | None) -> None:
    assert resume_at(standing, stored) == expected


# --- the law ----------------------------------------------------------------------------------------------------------
@dataclass
class Kafka:
    """One partition as the group sees it."""

    generation: int = 0
    standing: Standing = field(default_factory=lambda: Standing(0, {}))

    def commit(self, generation: int, standing: Standing) -> bool:
        if generation == self.generation:
            self.standing = standing
        return generation == self.generation


@dataclass
class Member:
    name: str
    journal: list[int] = field(default_factory=list)
    stored: int | None = None
    generation: int = -1
    position: int = 0
    said: int = 0

    def store(self, claim: Claim) -> None:
        self.journal += range(claim.begin, claim.end)
        self.stored = claim.end

    def own(self, kafka: Kafka) -> None:
        """Be given the partition; pay first."""
        kafka.generation += 1
        self.pay(kafka)
        self.generation = kafka.generation
        self.position = resume_at(kafka.standing, self.stored) or 0
        self.said = self.position if self.stored == self.position else kafka.standing.offset or 0

    def pay(self, kafka: Kafka) -> None:
        owed = debt(kafka.standing, self.name, self.stored)
        if owed is not None:
            self.store(owed)

    def turn(self, kafka: Kafka, count: int, *, dies: str) -> None:
        """Claim, store, confirm, and die at one of these; without the partition, it is told so."""
        claim = Claim(self.position, self.position + count)
        others = {name: claimed for name, claimed in kafka.standing.claims.items() if name != self.name}
        if not kafka.commit(self.generation, Standing(self.said, {**others, self.name: claim})):
            return
        if dies == "claimed":
            self.generation = -1
            return
        self.store(claim)
        self.position = self.said = claim.end
        if dies == "stored":
            self.generation = -1
        elif dies == "confirmed":
            kafka.commit(self.generation, Standing(self.said, others))


TURNS = st.lists(
    st.tuples(
        st.integers(0, 2), st.booleans(), st.integers(1, 5), st.sampled_from(["", "claimed", "stored", "confirmed"])
    ),
    max_size=40,
)


@given(TURNS)
def test_each_offset_is_stored_once(turns: list[tuple[int, bool, int, str]]) -> None:
    kafka, members = Kafka(), [Member(name) for name in "abc"]
    for who, moves, count, dies in turns:
        member = members[who]
        if moves:
            member.own(kafka)
        member.turn(kafka, count, dies=dies)
        committed = kafka.standing.offset
        assert committed is not None
        assert committed <= max((one.stored or 0 for one in members), default=0), "never ahead of the journals"
    for member in members:
        member.own(kafka)
    found = sorted(offset for member in members for offset in member.journal)
    assert found == list(range(resume_at(kafka.standing, None) or 0))
