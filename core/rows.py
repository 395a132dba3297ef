"""SQL's comparison of rows, which the ORM has no word for."""

from typing import Any

from django.db.models import BooleanField, Func, Value


class Beyond(Func):
    """(a, b) > (x, y), or < : an index on (a, b) leads straight there.

    The same spelled with AND and OR leads only to the first row of its `a`, and whoever never logged in shares one
    `last_login` with all others who did not.
    """

    conditional = True
    output_field = BooleanField()

    def __init__(self, names: list[str], operator: str, values: list[Any]) -> None:
        super().__init__(*names, *map(Value, values))
        self.operator = operator

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> Any:
        compiled = [compiler.compile(expression) for expression in self.get_source_expressions()]
        parts, params = [sql for sql, _given in compiled], [param for _sql, given in compiled for param in given]
        half = len(parts) // 2
        return f"({', '.join(parts[:half])}) {self.operator} ({', '.join(parts[half:])})", params
