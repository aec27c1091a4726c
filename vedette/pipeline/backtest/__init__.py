"""Back-tests: detection again over the records of the log, with other rules.

    chunks ─▶ sieve (any number of processes) ─▶ rerun (one for each rule set, in log order) ─▶ compare

The sieve lets go what no rule matches; the rerun is the agent's own detector over what is left.
"""
