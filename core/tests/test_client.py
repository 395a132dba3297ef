"""Who is at the other end: address and device."""

import pytest
from django.test import RequestFactory

from core import client
from core.client import client_address, device_of, network


def address(peer="192.0.2.1", forwarded=None):
    extra = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=peer, **extra))


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "203.0.113.9, 198.51.100.1", "127.0.0.1", ""])
def test_without_proxies_what_is_forwarded_does_not_count(settings, forwarded):
    settings.TRUSTED_PROXIES = 0
    assert address(forwarded=forwarded) == "192.0.2.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1,2.2.2.2,203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, nonsense", "192.0.2.1"),
        (1, "1.1.1.1,", "192.0.2.1"),
        (1, None, "192.0.2.1"),
        (1, " 2001:DB8::1 ", "2001:db8::1"),
    ],
)
def test_behind_proxies_the_entry_of_the_outermost_counts(settings, proxies, forwarded, expected):
    settings.TRUSTED_PROXIES = proxies
    assert address(forwarded=forwarded) == expected


def test_other_headers_never_count(settings):
    settings.TRUSTED_PROXIES = 1
    request = RequestFactory().get(
        "/", REMOTE_ADDR="192.0.2.1", HTTP_X_REAL_IP="1.1.1.1", HTTP_FORWARDED="for=1.1.1.1", HTTP_CLIENT_IP="1.1.1.1"
    )
    assert client_address(request) == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("unix:", None),
        ("192.0.2.1:5000", None),
    ],
)
def test_an_address_has_one_form(peer, expected):
    assert address(peer) == expected


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_one_client_is_an_address_or_a_v6_network(one, other, are_one):
    assert (network(one) == network(other)) is are_one


def test_no_address_is_a_network_too():
    assert network(None) == network("") == "unknown"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("", "Unknown device"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("my secret text \r\n<script>", "Unknown device"),
        ("x" * 100_000, "Unknown device"),
        ("(" * 512, "Unknown device"),
    ],
)
def test_a_device_is_named_by_our_words(agent, device):
    assert device_of(agent) == device


def test_no_long_text_of_a_caller_is_remembered(settings):
    settings.TRUSTED_PROXIES = 1
    before = [kept.cache_info().currsize for kept in (client._parsed, client._device_of)]
    assert client.address_of("192.0.2.1", "1" * 400_000) == "192.0.2.1"
    assert client._parsed.cache_info().currsize <= before[0] + 1
    client.device_of("x" * 400_000)
    client.device_of("x" * 500_000)
    assert client._device_of.cache_info().currsize <= before[1] + 1
