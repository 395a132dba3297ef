"""Which renderer answers: nearly always the only one, which nearly everybody accepts."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class Negotiation(DefaultContentNegotiation):
    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        """DRF's own is asked where there is a choice, or somebody wants something else."""
        only = renderers[0]
        if len(renderers) == 1 and request.META.get("HTTP_ACCEPT", "*/*") in ("*/*", only.media_type):
            return only, only.media_type
        return super().select_renderer(request, renderers, format_suffix)
