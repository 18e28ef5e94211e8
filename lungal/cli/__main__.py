"""`python -m lungal.cli`, where the `lungal` script is not on the path."""

from lungal.cli.main import main

raise SystemExit(main())
