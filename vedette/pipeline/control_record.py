"""Control records: everything that changes detection, as input in the intake log.

One JSON object with `op`: `start`, `stop`, `tick`, `rules` and `settings` (naming a blob by its SHA-256 in `hash`),
`operator_reset` (naming an operator and the versions), `verdict`, `profile` (a decision on profiles of behaviour).
`rules` may name settings that hold from the same record on.
"""

from __future__ import annotations

from typing import Final

import msgspec

from vedette.schema.verdict import Judgement


class ControlRecord(msgspec.Struct, omit_defaults=True):
    """A decoded control record; fields that an `op` does not use are empty."""

    op: str
    hash: str = ""
    version: str = ""
    operator: str = ""
    detail: str = ""
    settings: str = ""
    alert: str = ""
    """Of a verdict: the alert's id, its document as the store has it, and whether that is the last one, since no
    finding can join any more. `detail` is the reason."""
    judgement: Judgement | None = None
    analyst: str = ""
    document: str = ""
    final: bool = False
    action: str = ""
    """Of a decision on profiles (`detectors.behaviour.profiles.control.Action`): it, and their ids. An import names its
    export by `hash`; `analyst` is who decided."""
    profiles: tuple[str, ...] = ()


OP_START: Final = "start"
OP_STOP: Final = "stop"
OP_RULES: Final = "rules"
OP_SETTINGS: Final = "settings"
OP_OPERATOR_RESET: Final = "operator_reset"
OP_VERDICT: Final = "verdict"
OP_PROFILE: Final = "profile"

encode_control = msgspec.json.Encoder().encode
decode_control = msgspec.json.Decoder(ControlRecord).decode
