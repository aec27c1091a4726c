"""The public test kit: factories, fakes and the contract suites that every source, sink and journal must pass.

For our own tests and for authors of third-party components; nothing in the running product imports it.
"""
