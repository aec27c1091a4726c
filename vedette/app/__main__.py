"""`python -m vedette.app` is `vedette`, where the script is not on the path."""

import sys

from vedette.app.cli import main

sys.exit(main())
