"""A client of our API, as short to use as `curl`."""

import json
from typing import Any

from django.test import Client

from tests.log_watch import note_secrets


class ApiClient:
    """`api.post("/auth/login", {...})`, `api.get("/users/me", token=access)`; answers are Django's responses."""

    def __init__(self, ip: str = "192.0.2.1") -> None:
        self.client = Client(REMOTE_ADDR=ip, HTTP_HOST="127.0.0.1")

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        url = path if path.startswith(("/api/", "/account", "/healthz", "/readyz")) else f"/api/v1{path}"
        note_secrets(body)
        if body is None:
            return self.client.generic(method, url, headers=sent)
        answer = self.client.generic(method, url, json.dumps(body), "application/json", headers=sent)
        if answer.headers.get("Content-Type") == "application/json":
            note_secrets(answer.json())
        return answer

    def get(self, path: str, **rest: Any) -> Any:
        return self.call("GET", path, **rest)

    def post(self, path: str, body: Any = None, **rest: Any) -> Any:
        return self.call("POST", path, body, **rest)

    def put(self, path: str, body: Any = None, **rest: Any) -> Any:
        return self.call("PUT", path, body, **rest)

    def patch(self, path: str, body: Any = None, **rest: Any) -> Any:
        return self.call("PATCH", path, body, **rest)

    def delete(self, path: str, body: Any = None, **rest: Any) -> Any:
        return self.call("DELETE", path, body, **rest)
