"""What the staff panel calls our things, in the language of whoever looks.

The names stand in the models and are theirs in English. They are made translatable when the apps are ready, and not in
the models, where each translatable name would be a migration. `scripts/words.py` puts them into the catalogs.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


def translate_names(config: AppConfig) -> None:
    for thing, attribute, words in names(config):
        setattr(thing, attribute, gettext_lazy(words))
    for field in fields(config):
        if has_words(field):
            field.choices = [(value, gettext_lazy(str(label))) for value, label in field.choices]


def words_of(config: AppConfig) -> list[str]:
    """Everything that `translate_names` makes translatable, as it is in English."""
    labels = [str(label) for field in fields(config) if has_words(field) for _, label in field.choices]
    return [*(str(words) for _, _, words in names(config)), *labels]


def names(config: AppConfig) -> Iterator[tuple[Any, str, Any]]:
    """Whose it is, the attribute, and the name there."""
    for model in config.get_models():
        yield model._meta, "verbose_name", model._meta.verbose_name
        yield model._meta, "verbose_name_plural", model._meta.verbose_name_plural
    for field in fields(config):
        yield field, "verbose_name", field.verbose_name
        if field.help_text:
            yield field, "help_text", field.help_text


def fields(config: AppConfig) -> Iterator[Any]:
    return (field for model in config.get_models() for field in model._meta.fields)


def has_words(field: Any) -> bool:
    """Languages are called as they call themselves."""
    return bool(field.choices) and field.name != "language"
