"""Back-tests over the archive, which is the intake log: what `vedette rules backtest` does.

archive      which records, and the state that detection had before them
rule_sets    which rules, from the words of the command line
sifting      the records that matter, found by all cores
run          both sides of a comparison, along the log
verdicts     what analysts confirmed
"""
