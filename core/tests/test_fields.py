"""Fields that take a value for what it is."""

from typing import Any

import pytest
from rest_framework.serializers import ValidationError

from core.fields import TextField


def never(value: Any) -> None:
    raise AssertionError("it read what is too long")


def test_it_measures_a_text_before_its_other_validators_read_it():
    field = TextField(max_length=3, validators=[never])
    with pytest.raises(ValidationError) as refused:
        field.run_validation("abcd")
    assert [error.code for error in refused.value.detail] == ["max_length"]


def test_a_text_that_fits_is_taken_as_it_is():
    assert TextField(max_length=3).run_validation(" a ") == " a "
