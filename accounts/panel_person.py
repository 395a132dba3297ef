"""One person's page in the panel. `accounts.admin.UserAdmin` has the list of people and takes the rest from here."""

from core.panel_look import LookOnly


class PersonPage(LookOnly):
    """`change_view`, `get_urls` and the templates of a person belong here."""

    hidden = ("password", "search_text", "email_key")
