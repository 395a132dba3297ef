"""`./run`, as somebody meets it who has just cloned this."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("sh", "dirname", "cat", "cksum", "mkdir", "grep", "printenv", "rm", "touch", "od", "tr", "chmod", "flock")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `run` needs to see, in a path with a space, with an installed venv."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("run", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (folder / "manage.py").write_text(
        "import os, sys\nprint(*sys.argv[1:], os.environ.get('PUBLIC_URL'), flush=True)\n"
    )
    lock = (folder / "requirements.txt").read_bytes()
    checksum = subprocess.run(["cksum"], input=lock, capture_output=True, check=True).stdout
    (folder / ".venv" / "requirements.txt.installed").write_bytes(checksum)
    return folder


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(
        [folder / "run", *arguments],
        cwd="/",
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def few_programs(tmp_path: Path) -> Iterator[Path]:
    """A PATH with what every Debian has, and no Python."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def python_that(folder: Path, fails_at: str) -> None:
    program = folder / "python3"
    program.write_text(f'#!/bin/sh\ncase "$*" in *"{fails_at}"*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)


def test_help_names_the_commands():
    told = run(ROOT, "help")
    assert told.returncode == 0
    for line in ("./run  ", "./run test", "./run services", "./run env", "./run faults", "./run lock"):
        assert line in told.stdout


def test_an_unknown_command_is_refused_with_the_help():
    told = run(ROOT, "frobnicate")
    assert told.returncode == 1
    assert "./run test" in told.stderr
    assert "frobnicate" in told.stderr.splitlines()[-1]


def test_it_migrates_makes_the_first_administrator_and_serves(clone):
    told = run(clone, PORT="18042")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].startswith("migrate ")
    assert lines[1].startswith("createsuperuser --first")
    assert "API documentation  http://127.0.0.1:18042/api/docs" in lines
    assert "Staff panel        http://127.0.0.1:18042/admin/" in lines
    assert lines[-1] == "serve --host 127.0.0.1 --port 18042 http://127.0.0.1:18042"


def test_it_keeps_one_secret_key_to_itself(clone):
    run(clone, PORT="18042")
    key = clone / "var" / "secret_key"
    first = key.read_text()
    assert oct(key.stat().st_mode)[-3:] == "600"
    assert oct(key.parent.stat().st_mode)[-3:] == "700"
    assert len(first) >= 50
    run(clone, PORT="18042")
    assert key.read_text() == first


def test_it_makes_no_key_where_one_is_given(clone):
    (clone / ".env").write_text("PUBLIC_URL=\nSECRET_KEY=given-by-somebody\n")
    told = run(clone, PORT="18042")
    assert not (clone / "var" / "secret_key").exists()
    assert told.stdout.splitlines()[-1].endswith(" http://127.0.0.1:18042")


def test_a_public_url_in_the_file_stays(clone):
    (clone / ".env").write_text("export PUBLIC_URL=https://id.example.com\n")
    assert run(clone, PORT="18042").stdout.splitlines()[-1].endswith(" None")


def test_a_busy_port_is_one_clear_line(clone):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run(clone, PORT=str(port))
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr == f"run: port {port} on 127.0.0.1 is in use. Another one: PORT={port % 65535 + 1} ./run\n"


@pytest.mark.parametrize("port", ["eighty", "0", "65536", "-1"])
def test_a_port_that_is_none_is_one_clear_line(clone, port):
    told = run(clone, PORT=port)
    assert told.returncode == 1
    assert told.stderr.startswith("run: PORT must be a number from 1 to 65535")
    assert told.stderr.count("\n") == 1


def test_without_python_it_says_what_to_install(clone, few_programs):
    shutil.rmtree(clone / ".venv")
    told = run(clone, PATH=str(few_programs))
    assert told.returncode == 1
    assert told.stderr.endswith("as root: apt install python3 python3-venv\n")


def test_an_old_python_is_no_python(clone, few_programs):
    shutil.rmtree(clone / ".venv")
    python_that(few_programs, fails_at="version_info")
    assert "3.11 or newer is missing" in run(clone, PATH=str(few_programs)).stderr


def test_without_venv_it_says_what_to_install(clone, few_programs):
    shutil.rmtree(clone / ".venv")
    python_that(few_programs, fails_at="ensurepip")
    told = run(clone, PATH=str(few_programs))
    assert told.returncode == 1
    assert told.stderr.endswith("as root: apt install python3-venv\n")


@pytest.mark.slow
def test_it_makes_a_half_made_venv_anew(clone, tmp_path):
    """Interrupted in the middle of the installation; here with a lock of nothing, so that it needs no network."""
    (clone / "requirements.txt").write_text("")
    left_over = clone / ".venv" / "lib" / "half-copied"
    left_over.mkdir(parents=True)
    (clone / ".venv" / "installing").touch()
    told = run(clone, PORT="18042")
    assert told.returncode == 0, told.stderr
    assert "Installing requirements.txt" in told.stderr
    assert not left_over.exists()
    assert not (clone / ".venv" / "installing").exists()
    assert "Installing" not in run(clone, PORT="18042").stderr


@pytest.fixture
def bare(clone, few_programs) -> Any:
    """`./run env` where there is no Python, and a umask that lets everybody read."""
    shutil.copy(ROOT / ".env.example", clone)

    def make() -> subprocess.CompletedProcess[str]:
        return run(clone, "env", PATH=str(few_programs))

    return make


def contents(folder: Path) -> dict[str, str]:
    files = [folder / ".env", *sorted((folder / "secrets").iterdir())]
    return {file.name: file.read_text() for file in files}


def test_env_writes_fresh_secrets_that_only_the_owner_can_reach(bare, clone):
    told = bare()
    assert told.returncode == 0, told.stderr
    assert oct((clone / ".env").stat().st_mode)[-3:] == "600"
    assert oct((clone / "secrets").stat().st_mode)[-3:] == "700"
    made = contents(clone)
    assert made[".env"].splitlines().count(f"SECRET_KEY_FILE={clone}/secrets/secret_key") == 1
    assert "SECRET_KEY=" not in made[".env"]
    secrets = [re.sub(r".*:(.*)@.*", r"\1", text.strip()) for name, text in made.items() if name != ".env"]
    assert sorted(len(secret) for secret in secrets) == [0, 48, 48, 48, 48, 96]
    assert len(set(secrets)) == len(secrets)
    for secret in secrets:
        assert not secret or secret not in told.stdout


def test_env_keeps_what_is_there(bare, clone):
    bare()
    before = contents(clone)
    told = bare()
    assert told.returncode == 1
    assert told.stderr == "run: there is a .env already. It stays as it is.\n"
    (clone / ".env").unlink()
    assert bare().returncode == 0
    assert contents(clone) == before


def test_env_takes_over_the_key_of_an_installation_that_runs_already(bare, clone):
    (clone / "var").mkdir()
    (clone / "var" / "secret_key").write_text("the-key-that-signed-everybody-in")
    bare()
    assert contents(clone)["secret_key"].strip() == "the-key-that-signed-everybody-in"


def test_what_env_wrote_is_enough_to_start(bare, clone):
    bare()
    told = run(clone, PORT="18042")
    assert told.returncode == 0, told.stderr
    assert not (clone / "var" / "secret_key").exists()


def test_make_only_repeats_it(clone: Any):
    lines = (ROOT / "Makefile").read_text().splitlines()
    assert [line.strip() for line in lines if line.startswith("\t")] == ["@./run", "@./run test"]
