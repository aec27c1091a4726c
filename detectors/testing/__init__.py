"""What authors of rules work with: tests that rules carry, their mutants, and why a rule holds for an event or not.

Pure, as all of `detectors`: decoders and texts are arguments.
"""
