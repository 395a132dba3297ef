"""Wiring: settings, URLs, servers, background work. No rules live here."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
