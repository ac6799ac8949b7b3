"""`python -m actionrec.deploy`: the command `actionrec` where that is not installed."""

import sys

from actionrec.deploy.cli import main

sys.exit(main())
