"""The walk of the README, run in one shell against a real server."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
WALK = re.compile(r"<!-- walk: begin -->(.*)<!-- walk: end -->", re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NEXT = "=== next block ==="
SECONDS = 90  # for the start, and for the walk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("curl") is None,
        reason="curl is missing. On Debian or Ubuntu, as root: apt install curl",
    ),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the server and the shell see: nothing of ours, and nothing of an .env file."""
    folder = tmp_path_factory.mktemp("walk")
    url = f"http://127.0.0.1:{free_port()}"
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SECRET_KEY": "the-walk-of-the-readme-" + "0123456789abcdef" * 3,
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "EMAIL_URL": f"filemail:///{folder}/mail",
        "REDIS_URL": "",
        "PUBLIC_URL": url,
        "LOG_FORMAT": "text",
        "DJANGO_SUPERUSER_EMAIL": "root@example.com",
        "DJANGO_SUPERUSER_PASSWORD": "seven lamps, one moth",
        "URL": url,
        "MAILS": f"{folder}/mail",
        "ADMIN_EMAIL": "root@example.com",
        "ADMIN_PASSWORD": "seven lamps, one moth",
    }


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[None]:
    manage(environment, "migrate", "-v", "0")
    manage(environment, "createsuperuser", "--noinput")
    port = environment["URL"].rpartition(":")[2]
    log = Path(environment["MAILS"]).with_name("log")
    with log.open("wb") as out:
        command = [sys.executable, "manage.py", "serve", "--port", port, "--workers", "1"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        wait_for(f"{environment['URL']}/readyz", process, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True, timeout=SECONDS)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(url, timeout=5):
                return
        except URLError:
            time.sleep(0.2)
    pytest.fail(f"The server did not start:\n{log.read_text()}")


def blocks() -> list[str]:
    walk = WALK.search((ROOT / "README.md").read_text())
    assert walk, "The README has lost the comments around its walk."
    return BLOCK.findall(walk[1])


def test_the_walk_of_the_readme_ends_as_it_says(server: None, environment: dict[str, str]) -> None:
    script = "set -eu\n" + f"echo '{NEXT}'\n".join(blocks())
    done = subprocess.run(
        ["sh"], input=script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    outputs = [output.strip() for output in done.stdout.split(NEXT)]
    setup, signed_up, verified, me, refreshed, granted, checked, refused = outputs
    assert (setup, refreshed) == ("", "")
    assert '"email":"ann@example.com","status":"unverified"' in signed_up
    assert '"status":"verified","password_needed":false' in verified
    assert '"username":"ann"' in me
    assert '"is_verified":true' in me
    assert [line.startswith('{"id"') for line in granted.splitlines()] == [True, True, False]
    assert '{"role":{"id":' in granted
    assert '"permission":"order:refund","allowed":true,"because":[{"role":"cashier","expires_at":null}]' in checked
    assert '"permission":"user:write","allowed":false,"because":[]' in checked
    assert refused.splitlines()[0] == "204"
    assert '"code":"invalid_token"' in refused.splitlines()[1]


def test_every_command_between_the_comments_is_in_a_block_that_is_run() -> None:
    walk = WALK.search((ROOT / "README.md").read_text())
    assert walk
    assert walk[1].count("```") == 2 * len(blocks())
