"""docker-compose.yml, deploy/ and the workflows agree with the code, with each other, and with what we promise."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.urls import resolve

from config.celery import BEAT_SENT
from core.management.commands.serve import WHOLE_DRAIN_SECONDS

ROOT = Path(settings.BASE_DIR)
KUBERNETES = ROOT / "deploy" / "kubernetes"
OURS = ("web", "worker", "beat", "migrate")
WITH_SECRETS = {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"}
VARIABLES = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

Made = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Made:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def cluster() -> dict[tuple[str, str], Made]:
    """By kind and name, all that the kustomization lists."""
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    return {(one["kind"], one["metadata"]["name"]): one for file in listed for one in documents(KUBERNETES / file)}


def documents(file: Path) -> Iterator[Made]:
    yield from yaml.safe_load_all(file.read_text())


def pods(cluster: dict[tuple[str, str], Made]) -> dict[str, Made]:
    kinds = {"Deployment", "Job"}
    return {name: one["spec"]["template"]["spec"] for (kind, name), one in cluster.items() if kind in kinds}


# --- Compose -----------------------------------------------------------------------------------------------------


def test_only_this_machine_reaches_the_server_and_nobody_the_stores(compose: Made) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:8000:8000"], "mailpit": ["127.0.0.1:8025:8025"]}
    assert compose["services"]["mailpit"]["profiles"] == ["dev"]
    assert compose["networks"]["stores"] == {"internal": True}
    for store in ("postgres", "redis"):
        assert compose["services"][store]["networks"] == ["stores"]


def test_each_service_has_limits_and_comes_back(compose: Made) -> None:
    for name, service in compose["services"].items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert service["logging"]["driver"] == "local", name
        if name not in ("migrate", "mailpit"):
            assert service["restart"] == "unless-stopped", name
    assert compose["services"]["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", [*OURS, "redis", "mailpit"])
def test_what_does_not_write_cannot(compose: Made, name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_starts_before_what_it_needs(compose: Made) -> None:
    waits = {name: compose["services"][name]["depends_on"] for name in OURS}
    assert waits["migrate"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("web", "worker", "beat"):
        assert waits[name]["migrate"] == {"condition": "service_completed_successfully"}
        assert waits[name]["redis"] == {"condition": "service_healthy"}
    for store in ("postgres", "redis"):
        assert compose["services"][store]["healthcheck"]["test"]


def test_secrets_come_as_files_and_only_migrate_owns_the_tables(compose: Made) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert set(service["environment"]) == {f"{variable}_FILE" for variable in WITH_SECRETS}
        files = {value.removeprefix("/run/secrets/") for value in service["environment"].values()}
        assert files == set(service["secrets"])
        assert ("database_owner_url" in files) == (name == "migrate")
    assert {name: secret["file"] for name, secret in compose["secrets"].items()} == {
        name: f"./secrets/{name}" for name in compose["secrets"]
    }


def test_run_env_makes_each_secret_that_compose_mounts(compose: Made, tmp_path: Path) -> None:
    for name in ("run", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run([tmp_path / "run", "env"], check=True, stdout=subprocess.DEVNULL)
    assert {file.name for file in (tmp_path / "secrets").iterdir()} == set(compose["secrets"])


def test_redis_evicts_nothing_and_keeps_its_queue(compose: Made) -> None:
    command = compose["services"]["redis"]["command"][-1]
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command


# --- Kubernetes --------------------------------------------------------------------------------------------------


def test_every_manifest_is_listed() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(file.name for file in KUBERNETES.glob("*.yaml"))


def test_the_kustomization_alone_names_image_and_namespace(cluster: Any) -> None:
    names = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert [image["name"] for image in names["images"]] == ["muster"]
    assert names["namespace"] == cluster[("Namespace", "muster")]["metadata"]["name"]
    for pod in pods(cluster).values():
        assert [container["image"] for container in pod["containers"]] == ["muster"]
    assert all("namespace" not in one["metadata"] for one in cluster.values())


def test_cluster_and_compose_run_the_same(cluster: Any, compose: Made) -> None:
    assert set(pods(cluster)) == set(OURS)
    for name, pod in pods(cluster).items():
        assert pod["containers"][0].get("command") == compose["services"][name].get("command")


def test_no_pod_may_more_than_it_must(cluster: Any) -> None:
    for name, pod in pods(cluster).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        container = pod["containers"][0]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name


def test_secrets_are_named_and_never_written_down(cluster: Any) -> None:
    assert not [name for kind, name in cluster if kind == "Secret"]
    data = cluster[("ConfigMap", "muster")]["data"]
    assert {variable.removesuffix("_FILE") for variable in data} <= VARIABLES
    assert {variable for variable in WITH_SECRETS if f"{variable}_FILE" in data} == WITH_SECRETS
    assert not WITH_SECRETS & set(data)
    for name, pod in pods(cluster).items():
        (volume,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        mounted = {f"/run/secrets/muster/{item['path']}" for item in volume["items"]}
        assert mounted == {value for variable, value in data.items() if variable.endswith("_FILE")}
        assert ("database_owner_url" in {item["key"] for item in volume["items"]}) == (name == "migrate")


def test_there_is_one_beat_and_never_a_second(cluster: Any) -> None:
    beat = cluster[("Deployment", "beat")]["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


def test_a_pod_has_time_to_drain(cluster: Any, compose: Made) -> None:
    web = pods(cluster)["web"]
    pause = int(web["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert web["terminationGracePeriodSeconds"] >= pause + WHOLE_DRAIN_SECONDS
    assert int(compose["services"]["web"]["stop_grace_period"].removesuffix("s")) >= WHOLE_DRAIN_SECONDS
    for grace in (pods(cluster)["worker"]["terminationGracePeriodSeconds"], 100):
        assert grace > settings.CELERY_TASK_SOFT_TIME_LIMIT


def test_probes_ask_what_exists_and_no_store_takes_all_pods_away(cluster: Any) -> None:
    web = pods(cluster)["web"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert resolve(web[probe]["httpGet"]["path"]).view_name == "healthz"


def test_the_checks_of_worker_and_beat_are_those_of_compose(cluster: Any, compose: Made) -> None:
    for name in ("worker", "beat"):
        kind, *command = compose["services"][name]["healthcheck"]["test"]
        command = ["sh", "-c", *command] if kind == "CMD-SHELL" else command
        assert pods(cluster)[name]["containers"][0]["livenessProbe"]["exec"]["command"] == command
    assert f"find /tmp/{BEAT_SENT.name} " in compose["services"]["beat"]["healthcheck"]["test"][1]


def test_nobody_comes_in_but_by_a_rule(cluster: Any) -> None:
    nothing = cluster[("NetworkPolicy", "nothing")]["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_selectors_meet_the_labels(cluster: Any) -> None:
    labels = cluster[("Deployment", "web")]["spec"]["template"]["metadata"]["labels"]
    for wanted in (
        cluster[("Service", "web")]["spec"]["selector"],
        cluster[("PodDisruptionBudget", "web")]["spec"]["selector"]["matchLabels"],
        cluster[("Deployment", "web")]["spec"]["selector"]["matchLabels"],
        cluster[("NetworkPolicy", "to-web")]["spec"]["podSelector"]["matchLabels"],
    ):
        assert wanted.items() <= labels.items()


# --- Rolling out -------------------------------------------------------------------------------------------------

# There is no cluster here. This notes what it is told, and answers as `answers` says: WORD<tab>CODE<tab>OUTPUT.
KUBECTL = """#!/bin/sh
[ "$1" != kustomize ] || { cat kustomization.yaml; exit; }
case "$*" in *"apply "*) grep -h 'new[NT]' >>"$NOTES/images" ;; esac
echo "$*" | sed 's/--namespace muster //' >>"$NOTES/calls"
while IFS="$(printf '\\t')" read -r word code output; do
    case "$*" in *"$word"*) echo "$output"; exit "$code" ;; esac
done <"$NOTES/answers"
"""


def roll_out(folder: Path, *answers: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o755)
    (folder / "answers").write_text("\n".join([*answers, "conditions[?(@.type=='Complete')]\t0\tTrue", ""]))
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "NOTES": str(folder), "PAUSE": "0"}
    command = [KUBERNETES / "roll-out.sh", "registry.example.com:5000/team/muster:v1.2.0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done, (folder / "calls").read_text().splitlines()


def test_a_release_migrates_first_then_rolls_out_then_is_looked_at(tmp_path: Path) -> None:
    done, calls = roll_out(tmp_path)
    assert done.returncode == 0, done.stderr
    steps = [" ".join(call.split()[:3]) for call in calls]
    assert steps == [
        "apply --filename -",
        "delete job migrate",
        "apply --filename -",
        "get job migrate",
        "apply --filename -",
        "rollout status deployment/web",
        "rollout status deployment/worker",
        "rollout status deployment/beat",
        "exec deployment/web --",
    ]
    images = set((tmp_path / "images").read_text().split("\n"))
    assert images == {"    newName: registry.example.com:5000/team/muster", '    newTag: "v1.2.0"', ""}


def test_a_failed_migration_changes_nothing_else(tmp_path: Path) -> None:
    done, calls = roll_out(tmp_path, "'Complete'\t0\t", "'Failed'\t0\tTrue")
    assert done.returncode == 1
    assert "the migration failed" in done.stderr
    assert not [call for call in calls if call.startswith("rollout") or "!=migrate" in call]


@pytest.mark.parametrize("fault", ["rollout status deployment/worker --timeout 5m\t1\tlate", "exec \t1\t503"])
def test_a_release_that_does_not_get_ready_is_taken_back(tmp_path: Path, fault: str) -> None:
    done, calls = roll_out(tmp_path, fault)
    assert done.returncode == 1
    undone = [call.split()[-1] for call in calls if call.startswith("rollout undo")]
    assert undone == ["deployment/web", "deployment/worker", "deployment/beat"]


# --- systemd and the roles of the database -----------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is missing")
@pytest.mark.parametrize("unit", sorted((ROOT / "deploy" / "systemd").iterdir()), ids=lambda file: file.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text().replace("User=muster", "User=root")
    (tmp_path / unit.name).write_text(re.sub(r"/opt/muster/.venv/bin/\w+", "/bin/true", text))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "muster" in line]) == (0, [])
