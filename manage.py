#!/usr/bin/env python
"""Muster's command line: `python manage.py help`."""

import os
import sys
import tempfile


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] == ["serve"] and "--again" not in sys.argv:
        # Where its processes put what they count; prometheus-client looks for it once, when it is imported.
        folder = tempfile.TemporaryDirectory(prefix="muster-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder.name
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here. Run ./run, or: pip install -r requirements.txt")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
