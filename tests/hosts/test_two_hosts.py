"""What happens at one host counts at the other on the next request, and whatever is to be done is done once."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.hosts.client import Caller
from tests.hosts.installation import PASSWORD, Installation
from tests.sent_mails import eventually

ROUNDS = 10


def new_address() -> str:
    return f"{uuid4().hex}@example.org"


def test_a_session_ends_at_both(installation):
    email = new_address()
    installation.sign_up(email)
    for number in range(ROUNDS):
        here, there = (installation.hosts * 2)[number % 2 :][:2]
        person = here.signed_in(email, PASSWORD)
        assert person.at(there).get("/users/me").status == 200
        assert person.post("/auth/logout").status == 204
        assert person.at(there).is_refused()


def test_a_deactivation_counts_at_both(installation, admin):
    email = new_address()
    person = installation.sign_up(email, installation.there)
    for _ in range(ROUNDS):
        assert person.get("/users/me").status == 200
        assert admin.delete(f"/users/{person.user_id}").status == 204
        assert person.is_refused()
        assert admin.post(f"/users/{person.user_id}/restore").status == 200
        assert person.is_refused(), "restoring an account brings no session back"
        person = installation.there.signed_in(email, PASSWORD)


def test_a_role_given_or_taken_or_changed_counts_at_both(installation, admin):
    person = installation.sign_up(new_address()).at(installation.there)
    name = f"role-{uuid4().hex}"
    role = admin.post("/roles", {"name": name, "permissions": ["user:read"]}).body["id"]
    for _ in range(ROUNDS):
        assert person.get("/users").status == 403
        assert admin.post(f"/users/{person.user_id}/roles", {"role": name}).status == 201
        assert person.get("/users").status == 200
        assert admin.call("PUT", f"/roles/{role}/permissions", {"permissions": []}).status == 200
        assert person.get("/users").status == 403
        assert admin.call("PUT", f"/roles/{role}/permissions", {"permissions": ["user:read"]}).status == 200
        assert person.get("/users").status == 200
        assert admin.delete(f"/users/{person.user_id}/roles/{role}").status == 204


def test_one_refresh_token_makes_one_pair_whichever_hosts_are_asked(installation):
    person = installation.sign_up(new_address())
    for _ in range(ROUNDS):
        hosts = installation.hosts * 4
        with ThreadPoolExecutor(len(hosts)) as callers:
            refresh = {"refresh": person.refresh}
            answers = list(callers.map(lambda host: host.post("/auth/refresh", refresh), hosts))  # noqa: B023
        assert {answer.status for answer in answers} == {200}
        [(access, refresh_token)] = {(answer.body["access"], answer.body["refresh"]) for answer in answers}
        person = Caller(person.address, person.port, access, refresh_token)


def test_each_code_is_mailed_once_by_two_workers(installation):
    people = [new_address() for _ in range(24)]

    def ask(email: str, host: Caller) -> int:
        return host.post("/auth/signup", {"email": email, "password": PASSWORD}).status

    sweeps = "from config.celery import app\nfor _ in range(40): app.send_task('mail.tasks.sweep_mail')"
    with ThreadPoolExecutor(8) as callers:
        swept = callers.submit(installation.manage, "shell", "-c", sweeps)
        statuses = set(callers.map(ask, people, installation.hosts * 12))
        assert swept.result().returncode == 0, swept.result().stderr
    assert statuses == {202}
    eventually(lambda: {email for email, _ in installation.mailbox.codes()} >= set(people), seconds=60)
    eventually(lambda: nothing_is_queued(installation), seconds=60)
    codes = {key: times for key, times in installation.mailbox.codes().items() if key[0] in people}
    assert len(codes) == len(people)
    assert set(codes.values()) == {1}
    assert all('"mail.sent"' in installation.log(worker) for worker in ("worker0", "worker1")), "both took part"


def nothing_is_queued(installation: Installation) -> bool:
    import redis

    return bool(redis.Redis.from_url(installation.environment["REDIS_URL"]).llen("celery") == 0)
