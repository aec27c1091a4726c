"""The floor: events, findings, alerts, incidents, errors and limits, without any input or output.

Every other package may import this one and it imports none of them, so the types on the way are the whole vocabulary
that collector, detectors and sinks share.
"""
