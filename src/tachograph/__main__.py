"""`python -m tachograph`."""

from tachograph.cli import main

raise SystemExit(main())
