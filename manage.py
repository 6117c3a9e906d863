#!/usr/bin/env python
"""Django's command line, run for the demo site."""

import importlib.util
import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command that stands on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")
    # An installed package wins; the source tree serves a checkout from which nothing was installed.
    if importlib.util.find_spec("backsoon") is None:
        sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
