"""`vedette doctor`: tries everything that a configuration names, and says what is wrong and what to do.

Nothing is changed: no port is opened to anybody, nothing is sent but what a destination's own probe needs. Each part is
tried on its own and in bounded time, so that one that hangs or breaks hides no other.

    examine (order, time, bugs) ── folder · journal · parts (sources, sinks, rules, metrics, system)
"""
