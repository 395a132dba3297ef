"""The panel is loaded with the URLs, and checked all the same."""

import os
import subprocess
import sys
from pathlib import Path

from django.contrib.admin import site
from django.core import checks

from accounts.models import User

ROOT = Path(__file__).resolve().parent.parent.parent
EXPORT = """
import sys, django
django.setup()
import accounts.management.commands.export_users
print(*(name for name in ("accounts.admin", "rest_framework.serializers", "redis") if name in sys.modules))
"""
CHECK = """
import django
django.setup()
from django.contrib.admin import site
from django.core import checks
checks.run_checks(tags=["admin"])
print("accounts.user" in [model._meta.label_lower for model in site._registry])
"""


def answer(program):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_costs_an_export_nothing():
    assert answer(EXPORT) == ""


def test_the_check_of_the_panel_loads_it():
    assert answer(CHECK) == "True"


def test_it_is_checked(monkeypatch):
    assert checks.run_checks(tags=["admin"]) == []
    monkeypatch.setattr(site._registry[User], "list_display", ["nothing"])
    assert [found.id for found in checks.run_checks(tags=["admin"])] == ["admin.E108"]
