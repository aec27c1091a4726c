"""What else is known: one kind of fact per module, added to an event without changing what the event said.

An enricher answers from memory. Refreshing what it knows happens beside the stream, so a slow inventory never delays
an event; an unknown fact leaves the field absent instead of guessed.
"""
