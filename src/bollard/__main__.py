"""`python -m bollard` is the command `bollard`."""

import sys

from bollard.cli.main import main

sys.exit(main())
