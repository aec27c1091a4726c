"""The metrics endpoint: what Prometheus scrapes and what a kubelet probes.

What is counted comes from committed rows of the journal, so that replay and restart never count twice; only what a
process does (CPU, failed writes) comes from the process. Ends with the agent's event loop.

    server (port, limits) ── endpoint (paths, token) ── scraper (thread, cache) ── reading (rows) ── families (series)
"""
