from rest_framework import mixins, viewsets

from audit.filters import EventFilter
from audit.models import Event
from audit.serializers import EventSerializer
from core.access import Requires
from core.filters import StrictFilterBackend


class EventViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Event]):
    """Who did what to whom, when and from where; the newest first."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    permission_classes = [Requires("audit:read")]
    filter_backends = [StrictFilterBackend]
    filterset_class = EventFilter
    ordering = ("-at", "-id")
