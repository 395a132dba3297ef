"""A real Chromium, and a real server for it: once over HTTP, once over HTTPS behind a proxy that ends TLS."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.kept_mails import Mailbox
from tests.serving import free_port, serving

CHROMIUM = shutil.which("chromium")
PATIENCE = 30_000  # ms, on a machine that does much else
PASSWORD = "violet-Harbour-lantern-27"


@dataclass
class Site:
    url: str
    folder: Path

    def mailbox(self, address: str) -> Mailbox:
        return Mailbox(self.folder / "mail", address)

    @property
    def database(self) -> Path:
        return self.folder / "serve.sqlite3"


IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing. On Debian, as root: apt install chromium"),
]


@pytest.fixture(scope="package")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("http"), free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(folder, "--workers", "1", port=port, PUBLIC_URL=url):
        yield Site(url, folder)


@pytest.fixture(scope="package")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("https"), free_port()
    url = f"https://localhost:{port}"
    with serving(folder, "--workers", "1", PUBLIC_URL=url) as server, ending_tls(folder, port, server.port):
        yield Site(url, folder)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not run for root, which CI is.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitors:
    """Each with a browser of their own: no cookie is shared. What the console complains about fails the test."""

    def __init__(self, chromium: Browser, stack: ExitStack) -> None:
        self.chromium, self.stack = chromium, stack
        self.complaints: list[str] = []

    def come(self, site: Site, **options: Any) -> BrowserContext:
        context = self.chromium.new_context(base_url=site.url, ignore_https_errors=True, **options)
        context.set_default_timeout(PATIENCE)
        context.on("console", lambda message: self.listen(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.stack.callback(context.close)
        return context

    def listen(self, kind: str, text: str) -> None:
        # The status of a refused form is no mistake of the page.
        if kind == "error" and "status of 4" not in text:
            self.complaints.append(text)


@pytest.fixture
def visitors(chromium: Browser) -> Iterator[Visitors]:
    with ExitStack() as stack:
        visitors = Visitors(chromium, stack)
        yield visitors
    assert not visitors.complaints


def fill_in(page: Page, **fields: str) -> None:
    """Fill the form in and send it; the answer is here when this returns."""
    for name, value in fields.items():
        page.locator(f"main [name={name}]:visible").fill(value)
    press(page, "main form:has([name]:visible) > button")


def press(page: Page, button: str) -> None:
    with page.expect_navigation():
        page.locator(button).first.click()


def sign_up(site: Site, page: Page, address: str, password: str = PASSWORD) -> Mailbox:
    """From nobody to signed in, by the code."""
    mailbox = site.mailbox(address)
    page.goto("/account/signup")
    fill_in(page, email=address, password=password)
    code = mailbox.code()
    fill_in(page, code=f"{code[:3]} {code[3:]}")
    fill_in(page, password=password)
    assert page.url == f"{site.url}/account"
    return mailbox


# --- HTTPS -----------------------------------------------------------------------------------------------------------


@contextmanager
def ending_tls(folder: Path, port: int, behind: int) -> Iterator[None]:
    """As the proxy of a real installation does."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    new = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *new, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", port), backlog=50) as listener:
        threading.Thread(target=accept, args=(listener, context, behind), daemon=True).start()
        yield


def accept(listener: socket.socket, context: ssl.SSLContext, behind: int) -> None:
    with suppress(OSError):  # closed: the tests are over
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=relay, args=(connection, context, behind), daemon=True).start()


def relay(connection: socket.socket, context: ssl.SSLContext, behind: int) -> None:
    with suppress(OSError):
        outside = context.wrap_socket(connection, server_side=True)
        inside = socket.create_connection(("127.0.0.1", behind))
        back = threading.Thread(target=pump, args=(inside, outside), daemon=True)
        back.start()
        pump(outside, inside)
        back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
