#!/usr/bin/env python3
"""Checks the files that other programs run us by, each against its own schema or linter: scripts/manifests.py

`./run manifests` installs what it needs. Nothing is fetched: the schemas come with the packages.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
KUBERNETES = ("1.29", "1.37")  # the oldest whose API these files are made for, and the newest known


def files(pattern: str) -> list[str]:
    found = sorted(str(file.relative_to(HERE)) for file in HERE.glob(pattern))
    return found or sys.exit(f"manifests: there is no {pattern}")


def checks() -> list[list[str]]:
    manifests = [file for file in files("deploy/kubernetes/*.yaml") if not file.endswith("kustomization.yaml")]
    kubernetes = ["kubernetes-validate", "--strict", "--quiet", "--kubernetes-version"]
    schema = ["check-jsonschema", "--builtin-schema"]
    return [
        ["hadolint", *files("Dockerfile")],
        [*schema, "vendor.compose-spec", *files("docker-compose.yml")],
        [*schema, "vendor.github-workflows", *files(".github/workflows/*.yml")],
        [*schema, "custom.github-workflows-require-timeout", *files(".github/workflows/*.yml")],
        *([*kubernetes, version, *manifests] for version in KUBERNETES),
    ]


def main() -> int:
    failed = 0
    for name, *arguments in checks():
        print(f"manifests: {name} {' '.join(arguments)}", flush=True)
        failed += subprocess.run([PROGRAMS / name, *arguments], check=False, cwd=HERE).returncode != 0
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
