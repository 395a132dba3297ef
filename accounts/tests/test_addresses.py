"""Which addresses there are, and when two of them are the same."""

import pytest

from accounts.addresses import canonical, parse_address
from accounts.models import User
from accounts.tests.factories import PASSWORD
from accounts.tests.mailbox import mails_to
from accounts.tests.steps import log_in, sign_up, verify

LONG_DOMAIN = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    ("typed", "email", "key"),
    [
        ("ann@example.org", "ann@example.org", "ann@example.org"),
        ("Ann.Lee@Example.ORG", "Ann.Lee@example.org", "ann.lee@example.org"),
        ("  ann@example.org ", "ann@example.org", "ann@example.org"),
        ("ann+tag@example.org", "ann+tag@example.org", "ann+tag@example.org"),
        ("o'brien&co@example.org", "o'brien&co@example.org", "o'brien&co@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@bu\u0308cher.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@example\u3002org", "ann@example.org", "ann@example.org"),
        ("ann@\uff45xample.org", "ann@example.org", "ann@example.org"),
        ("ann@пример.испытание", "ann@xn--e1afmkfd.xn--80akhbyknj4f", "ann@xn--e1afmkfd.xn--80akhbyknj4f"),
        ("ann@corp.local", "ann@corp.local", "ann@corp.local"),
        ("ann@team.test", "ann@team.test", "ann@team.test"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_it_keeps_what_was_typed_and_compares_in_one_form(typed, email, key):
    assert parse_address(typed) == (email, key)
    assert canonical(typed) == key
    assert parse_address(email) == (email, key), "the stored form means itself"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "ann",
        "@example.org",
        "ann@",
        "ann@@example.org",
        "ann@example..org",
        ".ann@example.org",
        "ann.@example.org",
        "a..n@example.org",
        "ann@-example.org",
        "ann @example.org",
        "ann@exam ple.org",
        "ann@example.org, bob@example.org",
        "Ann <ann@example.org>",
        '"ann lee"@example.org',
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
        "ann@127.0.0.1",
        "änn@example.org",
        "\u0430nn@example.org",
        "\u0131@example.org",
        "\uff41nn@example.org",
        "ann\u200b@example.org",
        "ann@exam\u200bple.org\u202e",
        "ann@example.org\n",
        "ann@example.org\r\nBcc: bob@example.org",
        "\tann@example.org",
        "ann@example.org\x00",
        pytest.param("a" * 65 + "@example.org"),
        f"ann@{LONG_DOMAIN}.example.org",
        "ann@" + "ü" * 60 + ".example",
        f"{'a' * 60}@{'ü' * 20}.{LONG_DOMAIN}"[:254],
        "a" * 100_000,
        "@" * 1000,
        "ann@" + "a." * 20_000 + "org",
    ],
    ids=lambda typed: ascii(typed[:40]),
)
def test_it_refuses_what_is_no_address_here(typed):
    with pytest.raises(ValueError):
        parse_address(typed)
    assert canonical(typed).startswith("?"), "nobody's key"
    assert len(canonical(typed)) <= 254


def test_look_alikes_in_a_domain_are_other_addresses():
    latin, cyrillic = parse_address("ann@example.org"), parse_address("ann@ex\u0430mple.org")
    assert latin.key != cyrillic.key
    assert cyrillic.email == "ann@xn--exmple-4nf.org"


def test_dots_and_tags_make_other_addresses():
    """Only some providers say otherwise, and guessing wrong would give somebody's account away."""
    keys = {parse_address(typed).key for typed in ("ann@example.org", "a.nn@example.org", "ann+x@example.org")}
    assert len(keys) == 3


@pytest.mark.django_db
def test_one_person_signs_up_verifies_and_logs_in_in_three_spellings(api):
    assert sign_up(api, "Ann@BÜCHER.example").json()["email"] == "Ann@xn--bcher-kva.example"
    assert mails_to("Ann@xn--bcher-kva.example") == ["verify"]
    assert verify(api, "Ann@xn--bcher-kva.example").status_code == 200
    for typed in ("ann@bücher.example", "ANN@XN--BCHER-KVA.example", " ann@bücher.example "):
        assert log_in(api, typed).status_code == 200, typed
    form = f"grant_type=password&username=ANN%40b%C3%BCcher.example&password={PASSWORD}"
    response = api.client.post("/api/v1/auth/token", form, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 200


@pytest.mark.django_db
def test_mail_goes_to_the_stored_address_and_never_to_the_typed_one(api):
    """CVE-2019-19844: an address that only compares alike would hand the mail to somebody else."""
    sign_up(api, "mike@example.org")
    for typed in ("mi\u212ae@example.org", "m\u0131ke@example.org", "mıke@example.org"):
        assert api.post("/auth/password/forgot", {"email": typed}).status_code == 400
    api.post("/auth/password/forgot", {"email": "MIKE@example.org"})
    assert mails_to("mike@example.org") == ["verify", "reset"]
    assert User.objects.count() == 1
