"""The harness: supervision, retry, batching, clocks and operational events.

What every component needs while it runs and none should write again. It ends in order: stop taking in, finish what
was taken, settle, close. A bug (any error outside the closed tree) stops the process loudly, and the journal makes
the restart safe.
"""
