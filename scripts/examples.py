#!/usr/bin/env python3
"""Make the clients of examples/ from the OpenAPI schema of this checkout, compile them, and run them against a server.

scripts/examples.py [python] [typescript]      default: both

Needs the development requirements, node 18 and npm, and the package registries of both worlds. What is made stands in
var/examples, and nothing of it is committed.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE = ROOT / "var" / "examples"
SCHEMA = MADE / "schema.json"
PASSWORD = "violet-Harbour-lantern-27"
SECONDS = 120


def say(what: str) -> None:
    print(f"examples: {what}", flush=True)


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, check=True, timeout=SECONDS)


def needed(program: str, package: str) -> str:
    return shutil.which(program) or sys.exit(
        f"examples: {program} is missing. On Debian, as root: apt install {package}"
    )


# --- Made and compiled -------------------------------------------------------------------------------------------


def make_schema() -> None:
    MADE.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "manage.py", "spectacular", "--format", "openapi-json", "--file", SCHEMA, SECRET_KEY=secret())
    say("the schema is made")


def secret() -> str:
    return "".join(f"{n:x}-long-enough-" for n in range(8))


def make_python() -> list[str | Path]:
    """The command that runs it."""
    python, client = MADE / "venv" / "bin" / "python", MADE / "python" / "muster_client"
    if shutil.which("uv"):
        run("uv", "venv", "-q", "--clear", "--python", sys.executable, MADE / "venv")
        install: list[str | Path] = ["uv", "pip", "install", "-q", "--python", python]
    else:
        run(sys.executable, "-m", "venv", "--clear", MADE / "venv")
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run(*install, "--require-hashes", "-r", ROOT / "examples/python/requirements.txt")
    generate: list[str | Path] = [
        MADE / "venv" / "bin" / "openapi-python-client",
        "generate",
        "--path",
        SCHEMA,
        "--fail-on-warning",
    ]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    client.parent.mkdir(exist_ok=True)
    run(*generate, "--meta", "none", "--overwrite", "--output-path", client, PATH=path)
    run(python, "-m", "compileall", "-q", client)
    main = ROOT / "examples/python/main.py"
    check: list[str | Path] = [sys.executable, "-m", "mypy", "--config-file", os.devnull, "--python-executable", python]
    run(*check, main, MYPYPATH=str(client.parent))
    return ["env", f"PYTHONPATH={client.parent}", python, "-u", main]


def make_typescript() -> list[str | Path]:
    node, npm = needed("node", "nodejs"), needed("npm", "npm")
    here, folder = ROOT / "examples/typescript", MADE / "typescript"
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json", "tsconfig.json", "main.ts"):
        shutil.copy(here / name, folder / name)
    run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder)
    tools = folder / "node_modules" / ".bin"
    run(tools / "openapi-typescript", SCHEMA, "--output", "api.d.ts", "--default-non-nullable=false", cwd=folder)
    run(tools / "tsc", cwd=folder)
    return [node, folder / "main.js"]


MAKERS: dict[str, Callable[[], list[str | Path]]] = {"python": make_python, "typescript": make_typescript}


# --- Run ---------------------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "SECRET_KEY_FILE", "DEBUG")},
        "SECRET_KEY": secret(),
        "PUBLIC_URL": url,
        "LOG_FILE": f"{folder}/log",
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "EMAIL_URL": f"filemail:///{folder}/mail",
    }
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True, timeout=SECONDS)
    process = subprocess.Popen([*manage, "serve", "--port", url.rpartition(":")[2]], cwd=ROOT, env=environment)
    try:
        wait_for(lambda: urllib.request.urlopen(f"{url}/readyz", timeout=5))
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(45)


def wait_for(look: Callable[[], object]) -> object:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError


def code_for(email: str, mails: Path) -> str | None:
    for file in mails.glob("*"):
        for part in re.split(rb"(?m)^-{70,}\n", file.read_bytes()):
            message = message_from_bytes(part.strip(), policy=policy.default)
            body = message.get_body(("plain",)) if email in str(message["To"]) else None
            if body and (found := re.search(r"(?m)^\d{6}$", body.get_content())):
                return found[0]
    return None


def use(name: str, command: list[str | Path], url: str, folder: Path) -> None:
    """Run the example as somebody would who first mistypes the code."""
    email = f"{name}@example.org"
    process = subprocess.Popen(
        [*command, url, email, PASSWORD], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder
    )
    try:
        code = str(wait_for(lambda: code_for(email, folder / "mail")))
        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        output, _ = process.communicate(f"{wrong}\n{code}\n", timeout=SECONDS)
    finally:
        process.kill()
    print(output)
    assert process.returncode == 0, f"the example in {name} failed"
    for line in ("invalid_code: The code is wrong", f"Signed in as {email}, roles: user", "user:read: not allowed"):
        assert line in output, f"the example in {name} did not say: {line}"


def main(names: list[str]) -> None:
    make_schema()
    commands = {name: MAKERS[name]() for name in names or MAKERS}
    with tempfile.TemporaryDirectory(prefix="muster-examples-") as name, server(Path(name)) as url:
        for example, command in commands.items():
            use(example, command, url, Path(name))
            say(f"{example}: generated, compiled and run")


if __name__ == "__main__":
    main(sys.argv[1:])
