"""`python -m vedette` is the command `vedette`."""

from vedette.app.cli import main

main()
