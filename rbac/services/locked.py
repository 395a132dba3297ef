from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model

from core.errors import NotFound


def lock(row: Model) -> None:
    """Read the row anew and keep it as it is until the transaction ends; NotFound when it has gone.

    Otherwise a foreign key to a row deleted meanwhile would fail at commit, after we had answered.
    """
    try:
        row.refresh_from_db(from_queryset=type(row)._default_manager.select_for_update())
    except ObjectDoesNotExist:
        raise NotFound from None
