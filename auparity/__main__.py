"""``python -m auparity``."""

import sys

from auparity.cli import main

sys.exit(main())
