"""Somebody with an HTTP client, at one of the hosts."""

import http.client
import json
from dataclasses import dataclass, field, replace
from typing import Any

BOUND = 10  # seconds in which every answer comes


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = field(repr=False)


@dataclass(frozen=True)
class Caller:
    """`caller.get("/users")`. `at(port)` is the same person, with the same tokens, at another host."""

    address: str
    port: int
    access: str = ""
    refresh: str = ""
    user_id: str = ""

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=BOUND)
        headers = {"Content-Type": "application/json", "Host": "127.0.0.1"}
        if self.access:
            headers["Authorization"] = f"Bearer {self.access}"
        sent = None if body is None else json.dumps(body)
        try:
            connection.request(method, path if path.startswith("/readyz") else f"/api/v1{path}", sent, headers)
            response = connection.getresponse()
            read = response.read()
        finally:
            connection.close()
        assert response.status < 500 or path.startswith("/readyz"), (method, path, response.status, read)
        return Answer(response.status, json.loads(read) if read else None)

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.call("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.call("DELETE", path)

    def signed_in(self, email: str, password: str) -> "Caller":
        answer = self.post("/auth/login", {"email": email, "password": password})
        assert answer.status == 200, answer.body
        body = answer.body
        return replace(self, access=body["access"], refresh=body["refresh"], user_id=body["user"]["id"])

    def at(self, host: "Caller") -> "Caller":
        return replace(self, address=host.address, port=host.port)

    def emails(self, query: str = "") -> set[str]:
        """Who stands on the newest page of the list of users."""
        answer = self.get(f"/users?ordering=-created_at&page_size=200{query}")
        assert answer.status == 200, answer.body
        return {user["email"] for user in answer.body["results"]}

    def is_refused(self) -> bool:
        """By access token and by refresh token."""
        refreshed = self.post("/auth/refresh", {"refresh": self.refresh})
        return self.get("/users/me").status == 401 and refreshed.status == 401
