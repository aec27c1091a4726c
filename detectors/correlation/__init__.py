"""Windows over findings: what no single event shows. Sigma's correlations are lowered to this.

Pure and synchronous. Event time comes with the events, arrival time with the chunks of the log; nothing here reads a
clock, so a replay finds what the first run found.
"""
