"""Fields that take a value for what it is. DRF would take a number for a string, and "yes" for true."""

from typing import Any

from rest_framework import serializers


class TextField(serializers.CharField):
    """A string and nothing else, as it is: not trimmed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=kwargs.pop("trim_whitespace", False), **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)  # before the other validators read it all
        text: str = super().to_internal_value(data)
        return text


class FlagField(serializers.BooleanField):
    """true or false, and nothing that looks like them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class IdField(serializers.UUIDField):
    """A UUID as text; DRF would take a number for one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value="…")
        return super().to_internal_value(data)
