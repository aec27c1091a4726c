"""`python -m vedette` is the command `vedette`."""

import sys

from vedette.app.cli import main

sys.exit(main())
