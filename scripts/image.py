#!/usr/bin/env python3
"""Builds the image from its Dockerfile and runs the services of docker-compose.yml, without an engine: scripts/image.py

buildah carries out the Dockerfile over a fresh Debian that stands in for the official base image; scripts/compose.py
says what happens to the result, and docs/containers.md what this does not show. Needs root, and on Debian 12 the
packages buildah, debootstrap, iproute2, postgresql and redis-server.
"""

import contextlib
import ctypes
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compose import HERE, output, refuse, say, succeeds, try_it

PROGRAMS = ("buildah", "debootstrap", "ip", "unshare", "nsenter", "setpriv", "chroot")
NEW_NETWORK = 0x40000000  # CLONE_NEWNET


def base_images() -> set[str]:
    return set(re.findall(r"^FROM (\S+:\S+)", (HERE / "Dockerfile").read_text(), re.MULTILINE))


def debian(folder: Path, suite: str) -> Path:
    """A fresh Debian with Python and pip under the names that the official image gives them."""
    told = output("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    mirrors = [line.split()[1] for line in told.splitlines() if line.startswith(f"{suite} ")]
    proxy = re.search(r"'(.*)'", output("apt-config", "shell", "proxy", "Acquire::http::Proxy"))
    root, packages = folder / "debian", "python3,python3-venv,python3-pip,python-is-python3"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", suite, root, *mirrors[:1]],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **({"http_proxy": proxy[1]} if proxy else {})},
    )
    return root


def packages(folder: Path, version: str) -> list[str]:
    """The locked packages, fetched by this machine's pip from wherever it is set up to fetch them; the build installs
    from this folder, with the same hashes."""
    subprocess.run([sys.executable, "-m", "venv", folder / "pip"], check=True)
    pip: list[str | Path] = [folder / "pip" / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
    lock = folder / "requirements.txt"  # with what only other patches of that Python want, since ours may differ
    lock.write_text(re.sub(r" ; python_full_version [^\\]*", "", (HERE / "requirements.txt").read_text()))
    which: list[str | Path] = ["--only-binary", ":all:", "--python-version", version, "--require-hashes", "-r", lock]
    subprocess.run([*pip, "download", "--dest", folder / "packages", *which], check=True, stderr=subprocess.PIPE)
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /packages\n")
    mounts = f"{folder}/packages:/packages:ro", f"{folder}/pip.conf:/etc/pip.conf:ro"
    return [option for mount in mounts for option in ("--volume", mount)]


def buildah_in(folder: Path) -> list[str]:
    """With overlays where they can be had; plain copies work everywhere and take a minute more."""
    buildah = ["buildah", f"--runroot={folder}/run"]
    overlay = [*buildah, f"--root={folder}/overlay", "--storage-driver=overlay"]
    return overlay if succeeds(*overlay, "info") else [*buildah, f"--root={folder}/vfs", "--storage-driver=vfs"]


@contextlib.contextmanager
def built(folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """What the image says of itself, and its files."""
    buildah = buildah_in(folder)
    (base,) = base_images()
    version, suite = re.findall(r":([\d.]+)-slim-(\w+)$", base)[0]
    root = debian(folder, suite)
    assert f"Python {version}." in output("chroot", root, "python", "--version")
    scratch = output(*buildah, "from", "scratch").strip()
    subprocess.run([*buildah, "add", "--quiet", scratch, root, "/"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*buildah, "commit", "--quiet", "--rm", scratch, f"docker.io/library/{base}"], check=True)
    say(f"made a {suite} that stands in for {base}")
    how = ["--isolation", "chroot", "--format", "docker", "--pull-never", "--tag", "muster"]
    subprocess.run([*buildah, "bud", *how, *packages(folder, version), HERE], check=True)
    config = json.loads(output(*buildah, "inspect", "--type", "image", "muster"))["Docker"]["config"]
    tree = Path(output(*buildah, "mount", output(*buildah, "from", "--pull-never", "muster").strip()).strip())
    say(f"built; it runs {shlex.join(config['Cmd'])} as {config['User']}")
    try:
        yield config, tree
    finally:
        subprocess.run([*buildah, "umount", "--all"], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        refuse(f"needs root, and: {' '.join(missing) or 'nothing else'}")
    if not succeeds("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "true"):
        refuse("this machine lets not even root make namespaces, so nothing can be shown on it.")
    with tempfile.TemporaryDirectory(prefix="muster-image-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through
        with built(folder) as (image, tree):
            assert ctypes.CDLL(None).unshare(NEW_NETWORK) == 0
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            try_it(image, tree, folder)
    say("all well")


if __name__ == "__main__":
    main()
