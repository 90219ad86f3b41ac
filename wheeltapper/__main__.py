"""`python -m wheeltapper`, the same as `wheeltapper`."""

import sys

from wheeltapper.cli import main

sys.exit(main())
