"""What our libraries say to people, not knowing it in Russian; `scripts/words.py` finds it here. Nobody imports it."""

from django.utils.translation import gettext_noop as _

DJANGO_REST_FRAMEWORK = [
    _("Must be a valid boolean."),
    _("Not a valid string."),
    _("Must be a valid UUID."),
    _("Datetime value out of range."),
    _('Invalid datetime for the timezone "{timezone}".'),
    _("Ensure this field has at least {min_length} elements."),
    _("Ensure this field has no more than {max_length} elements."),
    _("This dictionary may not be empty."),
    _("Surrogate characters are not allowed: U+{code_point:X}."),
]

SIMPLE_JWT = [
    _("jti"),
    _("Token Blacklist"),
    _("Outstanding Token"),
    _("Outstanding Tokens"),
    _("Blacklisted Token"),
    _("Blacklisted Tokens"),
    _("Token for %(user)s (%(jti)s)"),
    _("Blacklisted token for %(user)s"),
]
