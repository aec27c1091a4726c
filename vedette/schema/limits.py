"""Every bound of the pipeline, each with its unit and its reason.

A bound that operators may want to move is also a configuration key; its default is the constant here.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
SECOND_NS: Final = 1_000_000_000

# --- what comes in -----------------------------------------------------------------------------------------------
ITEM_BYTES_MAX: Final = 8 * MIB
"""One record. etcd bounds an object at 1.5 MB; an audit event carries request and response, so about 3 MB is real."""
BODY_BYTES_MAX: Final = 64 * MIB
"""One HTTP body after decompression. API servers split batches at 10 MiB; agents may send more."""
BODY_RATIO_MAX: Final = 200
"""Decompressed bytes per compressed byte beyond BODY_FREE_BYTES; audit logs reach 22 : 1 under zstd, bombs 1000 : 1."""
BODY_FREE_BYTES: Final = 2 * ITEM_BYTES_MAX
"""Decompressed bytes that no ratio is asked of: one object of 1.5 MB that repeats a character, twice in an event, would
make a client that does not retry lose its whole batch."""
JSON_DEPTH_MAX: Final = 200
"""Nesting that a document may have; Kubernetes objects (CRD schemas) stay below 100."""
IN_FLIGHT_BYTES_MAX: Final = 256 * MIB
"""Bytes received and not yet committed, over all listeners; beyond it clients are told to come back later."""

RECURSION_LIMIT: Final = 20_000
"""Set by the program for its interpreter: above the bytes of nearly all events, so that their brackets need not be
counted before they are skipped over (`collector.decoders._common.json_decode.skips_safely`)."""

# --- batches ---------------------------------------------------------------------------------------------------------
COMMIT_INTERVAL_S: Final = 0.008
"""Commits of intake, and of detection, that follow each other begin at least so far apart, so that records that come
one by one but often share them: commits cost CPU (about 250 µs each), not the records. A lone record never waits."""
GATHER_ITEMS_MIN: Final = 8
"""Parcels (or as many as the last commit had, if those are more) with which a commit of intake waits no longer."""
GATHER_ITEMS_MAX: Final = 256
"""Records with which no commit waits."""
GATHER_SKIPS: Final = 16
"""Commits that do not wait after one that waited for nothing: one sender, who waits for each answer, must not."""

# --- the journal -------------------------------------------------------------------------------------------------
CHUNK_ITEMS_MAX: Final = 400
"""Items in one compressed chunk: the API server's batch size, and where zstd's gain levels off."""
CHUNK_BYTES_MAX: Final = 4 * MIB
"""Uncompressed bytes in one chunk, but for a single larger item: bounds what a reader holds at once."""
GROUP_BYTES_MAX: Final = 32 * MIB
"""Bytes in one group commit: bounds the time that an acknowledgement waits behind others."""
TAIL_BYTES_MAX: Final = 32 * MIB
"""Freshly committed chunks kept in memory, so that detection need not read back what was just written."""
DEDUP_HORIZON_NS: Final = 15 * 60 * SECOND_NS
"""How long a push item is remembered: an API server retries a batch for about 100 s (KUBE.md §3)."""
DEDUP_ENTRIES_MAX: Final = 400_000
"""Items remembered at most; about 40 MB. Beyond it the horizon shortens, which is counted."""
BALLAST_BYTES: Final = 16 * MIB
"""Disk space set aside so that detection can still commit when intake has filled the disk."""

# --- time --------------------------------------------------------------------------------------------------------
FUTURE_NS_MAX: Final = 60 * SECOND_NS
"""An event's own time counts at most this far after its arrival; one forged date must not make all else late."""
TICK_NS: Final = SECOND_NS
"""Heartbeat of an idle intake log: arrival time goes on without events."""

# --- detection ---------------------------------------------------------------------------------------------------
SLICE_NS: Final = 5_000_000
"""Detection gives the event loop a turn at least this often."""
BATCH_ITEMS_MAX: Final = 4_000
"""Items that one commit of detection covers at most."""

# --- correlations ------------------------------------------------------------------------------------------------
CORRELATION_LATENESS_NS: Final = 120 * SECOND_NS
"""How far a watermark stays behind the newest event of its source: FUTURE_NS_MAX, so that a forged date makes nothing
late, and as much again for what is under way (an API server's webhook waits up to 30 s)."""
CORRELATION_IDLE_NS: Final = 60 * SECOND_NS
"""A source without matches for this long (arrival time) holds up no window."""
CORRELATION_EVENTS_MAX: Final = 20_000
"""Events that one correlation remembers, over all groups: 12 MB in a few groups, 100 MB where each is a group of its
own that waits for its end (measured, with events of more than 2 KiB)."""
CORRELATION_GROUP_EVENTS_MAX: Final = 2_000
"""Events of one group: bounds what judging a window costs. A higher threshold is refused when the rule is loaded."""
CORRELATION_SAMPLE_CHARS_MAX: Final = 2048
"""Characters kept of each of a group's newest EVIDENCE_ITEMS_MAX events, until the window that they are in fires."""
CORRELATION_REFERENCES_MAX: Final = 100
"""Events of a correlation that stand for one finding in a correlation over it."""

# --- alerts ------------------------------------------------------------------------------------------------------
ROLLUP_WINDOW_NS: Final = 3600 * SECOND_NS
"""Findings with one dedup key join one alert for this long after its opening (arrival time)."""
REVISION_INTERVAL_NS: Final = 5 * SECOND_NS
"""Between the first and the second revision of an alert; doubles up to REVISION_INTERVAL_NS_MAX."""
REVISION_INTERVAL_NS_MAX: Final = 5 * 60 * SECOND_NS
"""Between later revisions of a busy alert: a count that moves all day is not news every five seconds."""
OPEN_ALERTS_MAX: Final = 50_000
"""Alerts that can roll up at the same time; beyond it the rule with the most open alerts closes its oldest."""
EVIDENCE_ITEMS_MAX: Final = 5
"""Sample events that an alert carries."""
SHARED_EVIDENCE_ITEMS_MAX: Final = 2 * EVIDENCE_ITEMS_MAX
"""Sample events of an alert that several rules share, so that more of them than the first have one."""
CONTRIBUTIONS_MAX: Final = 16
"""Rules that a shared alert names, beside those that raise its level: Falco's rule names are input."""
EVIDENCE_BYTES_MAX: Final = 16 * KIB
"""Raw bytes of one sample event; the whole stands in the intake archive under its sequence number."""
TEXT_CHARS_MAX: Final = 1024
"""Characters of one string of a document taken into an alert's own fields; attackers choose lengths too."""
DEAD_LETTER_BYTES_MAX: Final = 64 * KIB
"""Bytes of a refused record kept with its reason."""

# --- delivery ----------------------------------------------------------------------------------------------------
BATCH_REVISIONS_MAX: Final = 500
"""Revisions, or events, handed to a sink at once: about 5 MB of documents."""
FORWARD_BYTES_MAX: Final = 8 * MIB
"""Bytes of the records behind one batch of events, but for its last chunk: bounds what a delivery holds in memory."""
FORWARD_ITEMS_MAX: Final = 4_000
"""Records that one commit of a delivery of events covers at most, where its filter drops nearly all."""
RETRY_ADVICE_S_MAX: Final = 300.0
"""Longest pause that a destination can ask for (`Retry-After`); a server's nonsense must not silence it for a year."""

assert CHUNK_BYTES_MAX <= GROUP_BYTES_MAX <= IN_FLIGHT_BYTES_MAX, "a chunk fits a group, a group fits what may be held"
assert ITEM_BYTES_MAX <= BODY_BYTES_MAX <= IN_FLIGHT_BYTES_MAX, "an item fits a body, a body fits what may be held"
