"""The services of docker-compose.yml, run over the files of the built image. For scripts/image.py.

Each runs in namespaces of its own, as its user, without capabilities, with the image read-only where compose says so,
beside a real PostgreSQL and Redis: health checks, the first administrator, a mail through the queue, writes that must
fail, and SIGTERM.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import services
import yaml

HERE = Path(__file__).resolve().parent.parent
STARTED = time.monotonic()
SECONDS = 120  # for a service to become healthy
# In the namespaces of the container: what an engine mounts, then the image itself, read-only where compose says so.
SET_UP = """
set -eu
tree=$1 var=$2 secrets=$3 tmpfs=$4 read_only=$5; shift 5
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount -t tmpfs tmpfs "$tree/dev/shm"
[ -z "$tmpfs" ] || mount -t tmpfs -o "${tmpfs#*:}" tmpfs "$tree${tmpfs%%:*}"
mount --bind "$var" "$tree/srv/muster/var"
mount --bind -o ro "$secrets" "$tree/run/secrets"
[ -z "$read_only" ] || mount -o remount,bind,ro "$tree"
exec chroot "$tree" "$@"
"""


def say(what: str) -> None:
    print(f"image: {time.monotonic() - STARTED:4.0f} s  {what}", flush=True)


def refuse(why: str) -> NoReturn:
    sys.exit(f"image: {why}")


def output(*command: str | Path, **options: Any) -> str:
    return str(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout)


def attempt(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def succeeds(*command: str | Path) -> bool:
    return attempt(*command).returncode == 0


def until(what: str, holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {SECONDS} s: {what}")
        time.sleep(0.5)
    say(what)


class Container:
    """A service of docker-compose.yml, in namespaces of its own, but for the network, which stands for compose's."""

    def __init__(self, name: str, service: dict[str, Any], image: dict[str, Any], tree: Path, host: Path) -> None:
        self.name, self.service, self.log = name, service, host / f"{name}.log"
        uid, gid = image["User"].split(":")
        environment = [
            *image["Env"],
            *env_file(host / ".env"),
            *(f"{k}={v}" for k, v in service["environment"].items()),
        ]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        powerless = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *powerless]
        self.enter = [*user, "env", "--ignore-environment", f"--chdir={image['WorkingDir']}", *environment]
        self.health = service.get("healthcheck", {}).get("test") or image["Healthcheck"]["Test"]
        secrets = host / f"secrets of {name}"  # only those that the service is given
        secrets.mkdir()
        for secret in service["secrets"]:
            shutil.copy2(host / "secrets" / secret, secrets)
        read_only, tmpfs = "yes" if service.get("read_only") else "", next(iter(service.get("tmpfs", [])), "")
        arguments = [tree, host / "var", secrets, tmpfs, read_only, *self.enter, *service.get("command", image["Cmd"])]
        apart = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        naming = ["sh", "-c", 'hostname "$0" && exec "$@"', name]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*apart, *naming, "sh", "-c", SET_UP, "sh", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.root = str(tree)

    def first_process(self) -> int:
        """Process 1 of the container, by its number outside; 0 until it has its root, and once it is gone."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())
            if Path(f"/proc/{pid}/root").readlink() == Path(self.root):
                return pid
        return 0

    def run(self, *command: str, as_root: bool = False) -> subprocess.CompletedProcess[str]:
        """What `docker compose exec` does."""
        within = ["nsenter", "--target", str(self.first_process()), "--mount", "--pid", "--uts", "--ipc", "--root"]
        who = ["env", "--ignore-environment", "--chdir=/"] if as_root else self.enter
        return attempt(*within, *who, *command)

    def is_healthy(self) -> bool:
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.log.read_text()[-3000:]}"
        kind, *command = self.health
        command = ["sh", "-c", *command] if kind == "CMD-SHELL" else command
        return bool(self.first_process()) and self.run(*command).returncode == 0

    def kill(self) -> None:
        self.process.kill()  # and, by --kill-child, all that runs within
        self.process.wait()

    def stop(self) -> None:
        started, grace = time.monotonic(), int(self.service["stop_grace_period"].removesuffix("s"))
        os.kill(self.first_process(), signal.SIGTERM)
        code = self.process.wait(grace)
        assert code == 0, f"{self.name} ended with {code}:\n{self.log.read_text()[-3000:]}"
        say(f"{self.name} ended {time.monotonic() - started:.1f} s after SIGTERM, of {grace} s")


def env_file(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if re.match(r"[A-Z_]+=", line)]


def undollared(value: Any) -> Any:
    """compose's $$ is a $."""
    if isinstance(value, dict):
        return {key: undollared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [undollared(item) for item in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def operators_host(folder: Path, postgresql_port: str) -> Path:
    """Where somebody has run `./run env`; the two stores are on this machine instead of hosts of their own."""
    host = folder / "host"
    (host / "var").mkdir(parents=True)
    os.chown(host / "var", 10001, 10001)
    for name in ("run", ".env.example"):
        shutil.copy(HERE / name, host)
    subprocess.run(["./run", "env"], cwd=host, check=True)
    for secret in (host / "secrets").iterdir():
        here = secret.read_text().replace("@postgres:5432/", f"@127.0.0.1:{postgresql_port}/")
        secret.write_text(here.replace("@redis:", "@127.0.0.1:"))
    return host


@contextlib.contextmanager
def stores(folder: Path, compose: dict[str, Any]) -> Iterator[tuple[Path, list[str]]]:
    """PostgreSQL with the roles of deploy/postgres, Redis by the very command of compose."""
    programs = services.postgresql_folder()
    if not programs or not services.redis_program():
        refuse("not installed: as root, apt install postgresql redis-server")
    data = {name: folder / f"{name} data" for name in ("postgresql", "redis")}
    for place in data.values():
        place.mkdir()
    with services.postgresql(programs, data["postgresql"], role="superuser") as url:
        port = re.findall(r":(\d+)/", url)[0]
        host = operators_host(folder, port)
        psql = [programs / "psql", "-X", "-q", "-h", "127.0.0.1", "-p", port]
        where = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "superuser", "SECRETS_FOLDER": str(host / "secrets")}
        subprocess.run([HERE / "deploy/postgres/roles.sh"], env={**os.environ, **where}, check=True)
        say("PostgreSQL has its two roles")
        redis = [part.replace("/run/secrets", f"{host}/secrets") for part in compose["services"]["redis"]["command"]]
        check = compose["services"]["redis"]["healthcheck"]["test"][1].replace("/run/secrets", f"{host}/secrets")
        with contextlib.chdir(data["redis"]), services.running(redis, folder / "redis.log", signal.SIGTERM):
            until("redis is healthy", lambda: succeeds("sh", "-c", check))
            refused = output("redis-cli", "config", "get", "maxmemory-policy")
            assert "NOAUTH" in refused, "Redis answers without the password"
            yield host, [str(part) for part in psql]


def fetch(path: str, body: Any = None) -> str:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"http://127.0.0.1:8000{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def try_it(image: dict[str, Any], tree: Path, folder: Path) -> None:
    compose = undollared(yaml.safe_load((HERE / "docker-compose.yml").read_text()))
    (tree / "run" / "secrets").mkdir()
    with stores(folder, compose) as (host, psql), contextlib.ExitStack() as started:

        def start(name: str) -> Container:
            container = Container(name, compose["services"][name], image, tree, host)
            started.callback(container.kill)
            return container

        migrate = start("migrate")
        assert migrate.process.wait(SECONDS) == 0, migrate.log.read_text()[-3000:]
        say("migrated as the owner")
        containers = [start(name) for name in ("web", "worker", "beat")]
        for container in containers:
            until(f"{container.name} is healthy", container.is_healthy)
        web, worker, beat = containers
        look_inside(web)
        use(web, host)
        switch_off = [*psql, "-U", "muster", "-c", "ALTER TABLE audit_events DISABLE TRIGGER ALL"]
        told = attempt(*switch_off).stderr
        assert "must be owner of table audit_events" in told, f"the server may switch triggers off: {told}"
        say("the role that serves cannot change tables")
        look_ill(worker, beat)
        for container in containers:
            container.stop()


def look_inside(web: Container) -> None:
    status = web.run("cat", "/proc/1/status").stdout
    assert re.findall(r"^[UG]id:\s+(\d+)\s", status, re.MULTILINE) == ["10001", "10001"], status
    assert set(re.findall(r"^Cap\w+:\s+0*(\w*)$", status, re.MULTILINE)) == {""}, status
    for place in ("/etc/passwd", "/srv/muster/manage.py", "/srv/venv/new", "/var/tmp/new"):
        for as_root in (True, False):
            told = web.run("sh", "-c", f"echo >>{place}", as_root=as_root)
            assert told.returncode != 0, f"{place} can be written"
            assert not as_root or "Read-only file system" in told.stderr, told.stderr
    for place in ("/tmp/new", "/srv/muster/var/new"):
        assert web.run("touch", place).returncode == 0, f"{place} cannot be written"
    say("runs as 10001 without capabilities; nothing but /tmp and var/ can be written, not even by root")


def use(web: Container, host: Path) -> None:
    assert '"database":"ok"' in fetch("/readyz").replace(" ", "")
    assert "body" in fetch("/static/muster/page.css")
    made = web.run("python", "manage.py", "createsuperuser", "--first", "--email", "you@example.com")
    assert "Password, shown only this once:" in made.stdout, made.stderr
    fetch("/api/v1/auth/signup", {"email": "ann@example.com", "password": "tea at four, always"})
    mails = host / "var" / "mail"
    until(
        "a mail went through queue and worker",
        lambda: any(b"ann@example.com" in mail.read_bytes() for mail in mails.glob("*")),
    )


def look_ill(worker: Container, beat: Container) -> None:
    """The checks can fail: a worker that hangs, a beat that sent nothing for a while."""
    os.kill(worker.first_process(), signal.SIGSTOP)
    assert not worker.is_healthy(), "a hung worker looks healthy"
    os.kill(worker.first_process(), signal.SIGCONT)
    os.kill(beat.first_process(), signal.SIGSTOP)
    beat.run("touch", "-d", "5 minutes ago", "/tmp/beat-sent")
    assert not beat.is_healthy(), "a hung beat looks healthy"
    os.kill(beat.first_process(), signal.SIGCONT)
    say("a hung worker and a hung beat are seen")
