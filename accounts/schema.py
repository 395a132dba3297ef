"""How drf-spectacular describes our authentication."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts.cookies import name_of


class SessionTokenScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.authentication.SessionTokenAuthentication"
    name = ["bearer", "cookie"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        cookie = {
            "type": "apiKey",
            "in": "cookie",
            "name": name_of("access"),
            "description": "Set by `POST /auth/login` with `cookies`. Unsafe calls need `X-CSRFToken` as well.",
        }
        bearer = {
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
        return [bearer, cookie]
