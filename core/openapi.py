"""What the API documents say of errors, declared in one place.

`@problems(InvalidCredentials, TooManyRequests)` on a view class or a method names the problems of its own;
`declared` adds those that any such operation can give. The schema and a test that watches every answer of
the suite both read `declared`, so they cannot disagree.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema as SpectacularAutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.serializers import PolymorphicProxySerializerExtension
from drf_spectacular.utils import PolymorphicProxySerializer

from core import errors
from core.access import Public
from core.errors import Problem

T = TypeVar("T")
ProblemType = type[Problem]

_ALWAYS: tuple[ProblemType, ...] = (
    errors.UnknownHost,
    errors.NotAcceptable,
    errors.BodyTooLarge,
    errors.HeadersTooLarge,
    errors.ServiceUnavailable,
    errors.LengthRequired,
)
_WITH_BODY: tuple[ProblemType, ...] = (errors.InvalidInput, errors.MalformedBody, errors.UnsupportedMediaType)
_SIGNED_IN: tuple[ProblemType, ...] = (errors.NotAuthenticated, errors.InvalidToken)

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable; let programs decide by this."},
        "request_id": {"type": "string"},
        "required": {"type": "string", "description": "The missing permission, with `permission_denied`."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": "string", "description": "Dotted path: `roles.0`."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def problems(*kinds: ProblemType) -> Callable[[T], T]:
    """Declare the problems that a view (class or method) can give beyond the general ones."""

    def declare(view: T) -> T:
        view.declared_problems = kinds  # type: ignore[attr-defined]
        return view

    return declare


def takes_body(method: T) -> T:
    """A DELETE that needs a body, which drf-spectacular would leave out."""
    method.takes_body = True  # type: ignore[attr-defined]
    return method


def declared(view: Any, method: str, path: str) -> dict[int, list[ProblemType]]:
    """All problems that `view` can give, by status. `view` is an instance with `action` set if it has one."""
    name = getattr(view, "action", None) or method.lower()
    handler = getattr(view, name, None)
    kinds: list[ProblemType] = [*_ALWAYS]
    kinds += getattr(type(view), "declared_problems", ())
    kinds += getattr(handler, "declared_problems", ())
    if method in ("POST", "PUT", "PATCH") or hasattr(handler, "takes_body"):
        kinds += _WITH_BODY
    if getattr(view, "pagination_class", None) and name == "list":
        kinds.append(errors.InvalidInput)
    permissions = view.get_permissions()
    if not any(isinstance(p, Public) for p in permissions):
        kinds += _SIGNED_IN
        if method not in ("GET", "HEAD"):
            kinds.append(errors.CsrfFailed)
    if any(hasattr(p, "required") for p in permissions):
        kinds.append(errors.PermissionDenied)
    if "{" in path:
        kinds.append(errors.NotFound)
    by_status: dict[int, list[ProblemType]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(kind.status_code, []).append(kind)
    return dict(sorted(by_status.items()))


class AnyOf(PolymorphicProxySerializer):
    """One of several shapes. Not `oneOf`: the shorter shape fits the longer one as well."""

    def __init__(self, name: str, *serializers: type[Any]) -> None:
        super().__init__(component_name=name, serializers=list(serializers), resource_type_field_name=None)


class AnyOfExtension(PolymorphicProxySerializerExtension):
    target_class = "core.openapi.AnyOf"

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"anyOf": super().map_serializer(auto_schema, direction)["oneOf"]}


class AutoSchema(SpectacularAutoSchema):
    """Adds each declared problem with its status and an example per code."""

    def get_operation(self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any) -> Any:
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is None:
            return None
        component = ResolvedComponent(
            name="Problem", type=ResolvedComponent.SCHEMA, schema=PROBLEM_SCHEMA, object="Problem"
        )
        registry.register_on_missing(component)
        for status, kinds in declared(self.view, method, path).items():
            own = operation["responses"].get(str(status), {}).get("content", {})  # RFC 6749 has its own errors
            response = problem_response_schema(status, kinds, component.ref)
            response["content"] = {**own, **response["content"]}
            operation["responses"][str(status)] = response
        return operation

    def _get_request_body(self, direction: Any = "request") -> Any:
        method = self.method
        if method == "DELETE" and hasattr(getattr(self.view, "delete", None), "takes_body"):
            self.method = "POST"
        try:
            return super()._get_request_body(direction)
        finally:
            self.method = method


def problem_response_schema(status: int, kinds: list[ProblemType], ref: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": f"{errors.phrase(status)}: " + ", ".join(f"`{kind.code}`" for kind in kinds),
        "content": {
            errors.CONTENT_TYPE: {
                "schema": ref,
                "examples": {kind.code: {"value": example(kind)} for kind in kinds},
            }
        },
    }
    if status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}
    return response


def example(kind: ProblemType) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if kind is errors.InvalidInput:
        entry = {"field": "username", "code": "taken", "detail": "Somebody else has this one."}
        extra["errors"] = [entry]
    if kind is errors.PermissionDenied:
        extra["required"] = "user:read"
    return kind(**extra).body("019a8f3e5c7d7b3e9d2c1f0a5b6c7d8e")
