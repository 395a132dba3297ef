"""How drf-spectacular describes our authentication."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class SessionTokenScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.authentication.SessionTokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "oauth2",
            "description": "`Authorization: Bearer <access>` (RFC 6750).",
            "flows": {
                "password": {
                    "tokenUrl": "/api/v1/auth/token",
                    "refreshUrl": "/api/v1/auth/token",
                    "scopes": {},
                }
            },
        }
