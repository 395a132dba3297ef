#!/bin/sh
# Migrate, roll out, look, and go back if it does not get ready: roll-out.sh IMAGE:TAG [URL]
# Migrations are written so that the previous release still serves on them; so going back needs no migration.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")"
[ $# -ge 1 ] || { echo "roll-out: roll-out.sh IMAGE:TAG [URL]" >&2; exit 2; }
image=$1 url=${2:-}
name=${image%:*} tag=${image##*:}
all='web worker beat'

say() { echo "roll-out: $1"; }
k() { kubectl --namespace muster "$@"; }

apply() { # SELECTOR
    kubectl kustomize . | kubectl apply --filename - --selector "$1"
}

ended() { k get job migrate --output "jsonpath={.status.conditions[?(@.type=='$1')].status}"; }

is_ready() {
    k exec deployment/web -- python -c \
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=10)" || return
    [ -z "$url" ] || curl --fail --silent --show-error --retry 5 --retry-all-errors --max-time 10 "$url/readyz"
}

roll_out() {
    apply app.kubernetes.io/component!=migrate || return
    for part in $all; do k rollout status "deployment/$part" --timeout 5m || return; done
    is_ready
}

go_back() {
    for part in $all; do k rollout undo "deployment/$part" || true; done
    for part in $all; do k rollout status "deployment/$part" --timeout 5m || true; done
}

# The names stand in kustomization.yaml; this copy has those of this release.
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cp ./*.yaml "$folder"
cd "$folder"
sed -i -e "s|newName: .*|newName: $name|" -e "s|newTag: .*|newTag: \"$tag\"|" kustomization.yaml

say "migrating with $image"
apply app.kubernetes.io/component=setting
k delete job migrate --ignore-not-found --wait
apply app.kubernetes.io/component=migrate
until [ "$(ended Complete)" = True ]; do # or Failed, by its own deadline at the latest
    if [ "$(ended Failed)" = True ]; then
        k logs job/migrate --tail 50 || true
        say 'the migration failed; the previous release goes on.' >&2
        exit 1
    fi
    sleep "${PAUSE:-2}"
done
say 'rolling out'
if roll_out; then
    say 'done; ready.'
else
    say 'it does not get ready; going back to the release before.' >&2
    go_back
    exit 1
fi
