"""Hashes of other systems: taken over, verified once, and replaced."""

import base64
import hashlib
import json

import bcrypt
import pytest
from argon2 import PasswordHasher, Type
from django.contrib.auth.hashers import check_password, make_password

from accounts.foreign_hashes import Unknown, taken_over
from accounts.tests.factories import UserFactory
from accounts.tests.scene import log_in, nothing_changes, refusal

PASSWORD = "Correct-horse-9 Ünïcode"
SALT = bytes(range(200, 216))  # bytes that are no text


def bare_bcrypt(prefix=b"2b", password=PASSWORD):
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).replace(b"$2b$", b"$%b$" % prefix).decode()


def argon2(kind=Type.ID):
    return PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1, type=kind).hash(PASSWORD)


def unpadded(data):
    return base64.b64encode(data).decode().rstrip("=")


def phc_scrypt():
    found = hashlib.scrypt(PASSWORD.encode(), salt=SALT, n=2**10, r=8, p=1, dklen=32)
    return f"$scrypt$ln=10,r=8,p=1${unpadded(SALT)}${unpadded(found)}"


def werkzeug_scrypt():
    found = hashlib.scrypt(PASSWORD.encode(), salt=b"aSaltOfText", n=2**10, r=8, p=1, dklen=64)
    return f"scrypt:1024:8:1$aSaltOfText${found.hex()}"


def werkzeug_pbkdf2():
    found = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"aSaltOfText", 1000)
    return f"pbkdf2:sha256:1000$aSaltOfText${found.hex()}"


def keycloak(algorithm="pbkdf2-sha512", digest="sha512"):
    found = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), SALT, 1000, 64)
    secret = {"value": base64.b64encode(found).decode(), "salt": base64.b64encode(SALT).decode()}
    how = {"hashIterations": 1000, "algorithm": algorithm, "additionalParameters": {}}
    return json.dumps({"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(how)})


FOREIGN = {
    "bcrypt 2a": bare_bcrypt(b"2a"),
    "bcrypt 2b": bare_bcrypt(b"2b"),
    "bcrypt 2y": bare_bcrypt(b"2y"),
    "argon2id": argon2(),
    "argon2i": argon2(Type.I),
    "scrypt in PHC": phc_scrypt(),
    "scrypt of Werkzeug": werkzeug_scrypt(),
    "PBKDF2 of Werkzeug": werkzeug_pbkdf2(),
    "PBKDF2 of Keycloak": keycloak(),
    "PBKDF2 of an old Keycloak": keycloak("pbkdf2", "sha1"),
    "PBKDF2 of Django": make_password(PASSWORD, hasher="pbkdf2_sha256"),
    "scrypt of Django": make_password(PASSWORD, hasher="scrypt"),
    "bcrypt of Django": make_password(PASSWORD, hasher="bcrypt_sha256"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_was_taken_over_once_can_be_taken_over_again(name):
    """From an export of ours."""
    assert taken_over(taken_over(FOREIGN[name])) == taken_over(FOREIGN[name])


@pytest.mark.django_db
@pytest.mark.parametrize("name", FOREIGN)
def test_its_owner_logs_in_once_and_has_a_hash_of_ours(api, name):
    user = UserFactory()
    user.password = taken_over(FOREIGN[name])
    user.save(update_fields=["password"])
    with nothing_changes("session.refused"):
        wrong = api.post("/auth/login", {"email": user.email, "password": f"{PASSWORD}!"})
        assert refusal(wrong) == (401, "invalid_credentials")
    log_in(api, user, PASSWORD)
    user.refresh_from_db()
    assert user.password.partition("$")[0] == make_password("x").partition("$")[0]
    log_in(api, user, PASSWORD)


def test_of_a_long_password_bcrypt_saw_72_bytes_and_so_do_we():
    long = "é" * 50
    assert check_password(long, taken_over(bare_bcrypt(password=long)))
    assert check_password("é" * 36 + "other", taken_over(bare_bcrypt(password=long)))
    assert not check_password("é" * 35, taken_over(bare_bcrypt(password=long)))


BROKEN = {
    "nothing": "",
    "words": "hunter2",
    "md5 of Django": "md5$salt$0123456789abcdef0123456789abcdef",
    "bcrypt too short": "$2b$04$abc",
    "bcrypt of a day": bare_bcrypt().replace("$04$", "$31$"),
    "argon2 of a gigabyte": argon2().replace("m=1024", "m=1048576"),
    "argon2 of a thousand passes": argon2().replace("t=1", "t=999"),
    "scrypt of a gigabyte": phc_scrypt().replace("ln=10", "ln=30"),
    "scrypt of no power": werkzeug_scrypt().replace("1024", "1000"),
    "PBKDF2 for ever": werkzeug_pbkdf2().replace("1000", "999999999"),
    "PBKDF2 of Django for ever": "pbkdf2_sha256$999999999$salt$aaaa",
    "PBKDF2 with an unknown digest": werkzeug_pbkdf2().replace("sha256", "sha9"),
    "a broken one of Django": "pbkdf2_sha256$many$salt",
    "no credential": "{}",
    "deep JSON": '{"a":' * 5000,
    "a credential of another kind": keycloak("argon2", "sha512"),
    "a credential without base64": keycloak().replace("salt", "tlas"),
    "an odd number of digits": werkzeug_pbkdf2()[:-1],
    "a salt without end": argon2().replace("p=1$", "p=1$" + "A" * 200),
    "an empty hash": "pbkdf2:sha256:1000$salt$",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_nobody_could_log_in_with_is_refused_in_words(name):
    with pytest.raises(Unknown) as refused:
        taken_over(BROKEN[name])
    assert str(refused.value).endswith(".")
    assert len(BROKEN[name]) < 20 or BROKEN[name] not in str(refused.value)
