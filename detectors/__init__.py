"""Events in, findings out: pure, synchronous and free of clocks, sockets and event loops.

Rules of every language are lowered to one predicate form, which the engine evaluates for an event in time that does
not grow with the number of rules. Time is always an argument, so a replay of the journal finds what the first run
found. Of our own packages, detectors import `vedette.schema` alone.
"""
