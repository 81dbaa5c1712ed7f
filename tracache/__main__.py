"""``python -m tracache``."""

import sys

from tracache.cli import main

sys.exit(main())
