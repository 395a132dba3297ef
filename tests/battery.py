"""What no honest client sends: the malformed, the oversized, the ambiguous and the hostile.

Each list holds (a name for the report, the thing itself).
"""

import gzip
from typing import Any

MIB = 1024 * 1024

# Bodies that are no JSON object in UTF-8: 400, whatever the operation.
UNREADABLE: list[tuple[str, bytes]] = [
    ("100,000 open lists", b"[" * 100_000),
    ("100,000 open objects", b'{"a":' * 100_000),
    ("900 nested lists", b"[" * 900 + b"]" * 900),
    ("a list", b"[]"),
    ("a list of objects", b'[{"email": "a@example.org"}]'),
    ("null", b"null"),
    ("a string", b'"x"'),
    ("a number", b"1"),
    ("true", b"true"),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("UTF-16", '{"a": 1}'.encode("utf-16")),
    ("UTF-16 without mark", '{"a": 1}'.encode("utf-16-le")),
    ("UTF-32", '{"a": 1}'.encode("utf-32")),
    ("Latin-1", '{"a": "é"}'.encode("latin-1")),
    ("overlong UTF-8", b'{"a": "\xc0\xaf"}'),
    ("a raw surrogate", b'{"a": "\xed\xa0\x80"}'),
    ("a raw NUL in a string", b'{"a": "\x00"}'),
    ("a NUL behind", b'{"a": 1}\x00'),
    ("only NULs", b"\x00" * 64),
    ("a raw line break in a string", b'{"a": "x\r\ny"}'),
    ("NaN", b'{"a": NaN}'),
    ("Infinity", b'{"a": Infinity}'),
    ("minus Infinity", b'{"a": -Infinity}'),
    ("5,000 digits", b'{"a": ' + b"9" * 5000 + b"}"),
    ("two objects", b"{}{}"),
    ("unfinished", b'{"email": "a@exam'),
    ("a comma too many", b'{"a": 1,}'),
    ("single quotes", b"{'a': 1}"),
    ("a comment", b'{"a": 1} // x'),
    ("a form", b"email=a%40example.org&password=x"),
    ("XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    ("gzip", gzip.compress(b'{"a": 1}')),
    ("a gzip bomb", gzip.compress(b" " * 10 * MIB)),
    ("a bare word", b"undefined"),
    ("blanks", b" \t\r\n "),
]

# Readable, but odd: the answer may be anything but a crash.
ODD: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("an empty object", b"{}"),
    ("keys twice", b'{"email": "a@example.org", "email": ["b@example.org"], "password": "x", "password": {}}'),
    ("an empty key", b'{"": 1}'),
    ("a key with a NUL", b'{"\\u0000": 1}'),
    ("a key that is half a pair", b'{"\\ud800": "\\udfff"}'),
    ("keys of Python", b'{"__class__": {"__init__": 1}, "__proto__": 1, "constructor": 1, "self": 1, "pk": 1}'),
    ("unknown and deep", b'{"unknown": ' + b"[" * 500 + b"]" * 500 + b"}"),
    ("unknown and long", b'{"unknown": "' + b"x" * 900_000 + b'"}'),
    ("20,000 unknown keys", b"{" + b",".join(b'"k%d": 1' % n for n in range(20_000)) + b"}"),
    ("1e400", b'{"unknown": 1e400}'),
    ("4,000 digits", b'{"unknown": ' + b"9" * 4000 + b"}"),
]

MEDIA_TYPES = [
    "text/plain",
    "text/plain; charset=utf-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "x" * 300,
    "application/xml",
    "application/octet-stream",
    "application/merge-patch+json",
    "application/jsonx",
    "text/html",
    "image/png",
    "/",
    "json",
    "application/",
    ";;;",
    "é",
]

CHARSETS = [
    "utf-16", "utf-32", "utf-7", "latin-1", "klingon", "hex", "base64", "rot13", "zip", "undefined", "idna",
    "punycode", "unicode_escape", "raw_unicode_escape", "../../x", "x" * 5000, "\xff", '"', "",
]  # fmt: skip

STRINGS: list[tuple[str, str]] = [
    ("empty", ""),
    ("blank", " "),
    ("NUL", "\x00"),
    ("NUL inside", "a\x00b@example.org"),
    ("half a pair", "\ud800"),
    ("half a pair inside", "a\udfffb@example.org"),
    ("CRLF", "a\r\nBcc: victim@example.org"),
    ("line separator", "a\u2028b"),
    ("ANSI", "\x1b[31mred"),
    ("bidi", "\u202eevil\u202c"),
    ("zero width", "ad\u200bmin"),
    ("homograph", "аdmin"),
    ("dotless i", "admın@example.org"),
    ("path", "../../../../etc/passwd"),
    ("SQL", "' OR 1=1; DROP TABLE users; --"),
    ("LIKE", "%_%"),
    ("template", "{{7*7}}{% debug %}${7*7}"),
    ("format", "%s%n{0.__class__}"),
    ("script", '"><script>alert(1)</script>'),
    ("regular expression", "(a+)+$" * 50),
    ("formula", "=1+1"),
    ("two addresses", "a@example.org,b@example.org"),
    ("an IP literal", "a@[127.0.0.1]"),
    ("digits of another script", "١٢٣٤٥٦"),
    ("a date out of time", "0001-01-01T00:00:00+14:00"),
    ("the last date", "9999-12-31T23:59:59-14:00"),
    ("an id of nobody", "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"),
    ("20 kB", "a" * 20_000),
]
# For all fields of a body at once.
HUGE = [("a megabyte each", "x" * 1_000_000), ("150 kB each", "x" * 150_000), ("150 kB of at each", "@" * 150_000)]
OTHERS: list[tuple[str, Any]] = [
    ("null", None),
    ("true", True),
    ("0", 0),
    ("-1", -1),
    ("2^31", 2**31),
    ("2^63", 2**63),
    ("10^20", 10**20),
    ("10^300", 10**300),
    ("1.5", 1.5),
    ("1e308", 1e308),
    ("empty list", []),
    ("list", ["a@example.org"]),
    ("list of lists", [[[[]]]]),
    ("10,000 members", ["x"] * 10_000),
    ("list of null", [None]),
    ("empty object", {}),
    ("object", {"$ne": ""}),
]

QUERY_VALUES = [
    "", "0", "-1", "+1", "1.5", "1e3", "2147483648", "9223372036854775808", "100000000000000000000", "1" * 5000,
    "1e400", "NaN", "Infinity", "banana", "null", "True", "%00", "a%00b", "%ff", "%C0%AF", "%ED%A0%80",
    "%0d%0aSet-Cookie:%20x=1", "%E2%80%AE", "%2500", "%252e%252e", "..%2f..%2fetc", "%27%20OR%201=1--", "%25", "%",
    "%zz", "[]", "%7B%7D", "(a%2B)%2B$", "x" * 3000, "٣", "2001-13-45", "0001-01-01T00:00:00%2B14:00",
    "9999-12-31T23:59:59-14:00", "2001-01-01", "12:00", "-created_at,email", "--created_at", "password", "?", "id__in",
    "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e",
]  # fmt: skip
QUERY_NAMES = [
    "page_size", "cursor", "count", "ordering", "search", "limit", "offset", "page", "format", "callback", "_connector",
    "_negated", "password", "password__startswith", "email__regex", "id__in", "pk", "user__password", "is_active[]",
]  # fmt: skip

PATH_VALUES = [
    "0", "-1", "x", "1" * 300, "%00", "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e%00", "..%2f..%2f", "%2e%2e", "%2500", "%ff",
    "%ED%A0%80", "%0d%0aX-Injected:%201", "019a8f3e5c7d7b3e9d2c1f0a5b6c7d8e",
    "%7B019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e%7D",
    "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e%0a", "null", "undefined", "me%00", "٣", "%27%20OR%201=1--", "*", "a" * 8000,
    "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e/../me", "..", ";x=1",
]  # fmt: skip

HEADERS: list[tuple[str, str]] = [
    ("Accept", "text/html"),
    ("Accept", ",;" * 5000),
    ("Accept", "a/b;" * 2500),
    ("Accept", "*/*;q=" + "9" * 5000),
    ("Accept", "application/json; indent=99999999999999999999"),
    ("Accept", "application/json; indent=x"),
    ("Accept", "/"),
    ("Accept", "\xff\xfe"),
    ("Accept-Language", "x" * 5000),
    ("Accept-Language", "ru-" * 1000),
    ("Accept-Encoding", "gzip;q=banana"),
    ("Accept-Charset", "utf-16"),
    ("Content-Length", "-5"),
    ("Content-Length", "+5"),
    ("Content-Length", "5.0"),
    ("Content-Length", "0x10"),
    ("Content-Length", "99999999999999999999"),
    ("Content-Length", "\xb2"),
    ("Content-Length", "5, 5"),
    ("Content-Encoding", "gzip"),
    ("Transfer-Encoding", "chunked"),
    ("Transfer-Encoding", "xchunked"),
    ("Transfer-Encoding", "gzip, chunked"),
    ("Cookie", "session=\xff"),
    ("Cookie", ";;;=;=;" * 500),
    ("Cookie", "session=" + "x" * 8000),
    ("Cookie", 'csrftoken="; sessionid=$; access=x.y.z; refresh=x; __Host-access=x; __Host-refresh=x'),
    ("Expect", "100-continue"),
    ("Expect", "the unexpected"),
    ("Forwarded", 'for="[::1"'),
    ("If-Match", '"'),
    ("If-Match", 'W/"x"'),
    ("If-Match", ",".join(['"x"'] * 2000)),
    ("If-Match", "\xff"),
    ("If-Modified-Since", "yesterday"),
    ("If-None-Match", '"' * 2000),
    ("Origin", "null"),
    ("Origin", "https://evil.example"),
    ("Origin", "http://[::1"),
    ("Origin", "\xff"),
    ("Range", "bytes=0-99999999999999999999"),
    ("Referer", "javascript:alert(1)"),
    ("User-Agent", "x" * 10_000),
    ("User-Agent", "(" * 5000),
    ("User-Agent", "\x1b[31m\xff"),
    ("X-Forwarded-For", "a"),
    ("X-Forwarded-For", "1.2.3.4, " * 500),
    ("X-Forwarded-For", "[::1%eth0]:99999999"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "gopher"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/admin/"),
    ("X-Real-IP", "::ffff:0:0"),
    ("X-Request-ID", "x" * 65),
    ("X-Request-ID", "a b\x1b"),
    ("X-Request-ID", "\xff"),
    ("X-CSRFToken", "\xff" * 200),
    ("X-Long", "x" * 100_000),
]

AUTHORIZATIONS = [
    "Bearer", "Bearer ", "Bearer  ", "bearer x", "Bearer a b", "Bearer ..", "Bearer ...", "Bearer a.b.c", "Bearer \xff",
    "Bearer e30.e30.", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer " + "x" * 20_000, "Bearer " + "." * 20_000,
    "Bearer " + "W1tb" * 4000 + ".e30.x", "Basic YTpi", "Basic \xff", "Digest x", "Token x", "JWT x", "x", "",
    ", Bearer x", "Bearer\tx",
]  # fmt: skip

HOSTS = [
    "", "evil.example", "127.0.0.1.evil.example", "127.0.0.1:abc", "127.0.0.1:", "[::1", "[::1]x",
    "a b", "é", "\xff", "127.0.0.1, evil.example", "127.0.0.1@evil.example", "127.0.0.1/x", "user:pw@127.0.0.1",
    "." * 300, "http://127.0.0.1", "127.0.0.1\\evil", "%31", "*",
]  # fmt: skip
