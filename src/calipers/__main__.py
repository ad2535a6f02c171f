"""`python -m calipers` is the command `calipers`."""

import sys

from calipers.cli import main

if __name__ == "__main__":
    sys.exit(main())
