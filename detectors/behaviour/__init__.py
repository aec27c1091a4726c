"""Models of what is normal here, learned from the stream, and deviations from them.

Signature rules name what is bad; here is learned what is usual, for each workload, user, address and node. Detectors
are configured in YAML beside the rules (`loading`), one type of detector in one file; `types` lists them. Pure and
synchronous: event time comes with observations, arrival time with the chunks of the log, and nothing reads a clock.
"""
