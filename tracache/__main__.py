"""``python -m tracache``."""

import sys

from tracache.cli.main import main

sys.exit(main())
