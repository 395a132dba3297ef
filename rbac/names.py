"""How permissions and roles may be called."""

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

PART = r"[a-z][a-z0-9_-]{0,49}"
UUID_FORM = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"

valid_part = RegexValidator(rf"\A{PART}\Z", _("Use a-z, 0-9, _ and -, starting with a letter, at most 50."))
valid_permission = RegexValidator(rf"\A{PART}:{PART}\Z", _("Write a permission as resource:action."))
# A grant calls its role by id or by name, so no name may look like an id.
valid_role_name = RegexValidator(
    rf"\A(?!{UUID_FORM}\Z)[A-Za-z][A-Za-z0-9_.-]{{0,49}}\Z",
    _("Use letters, digits, _, . and -, starting with a letter, at most 50, and not the form of an id."),
)
