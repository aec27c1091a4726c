"""Alerts out: one destination per module, named as its configuration key names it.

A sink delivers a batch or raises `TransientError` (try again, perhaps later) or `PermanentError` (set this one
aside); the pipeline owns retries, order and acknowledgement. Delivery is at least once, so every sink sends a stable
identifier that lets its destination drop a repeat. Sinks are strangers to each other.
"""
