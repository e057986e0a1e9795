#!/usr/bin/env bash
# A set of servers with players, from a shell: ports, reports over HTTP, a scale-in that waits, an autoscaler that follows the
# players, and a server that fails again and again. The shell plays the game: it reads each server's code from its Pod's
# environment and reports as that server.
#
# Needs kubectl and curl, KUBECONFIG, the controllers with game-api, and CA_FILE: the certificate game-api is trusted by.
set -euo pipefail

namespace="flow-$RANDOM$RANDOM"
set=arena

say() { printf '\n--- %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; kubectl -n "$namespace" get gss,gs,pods -o wide >&2; exit 1; }
k() { kubectl -n "$namespace" "$@"; }
trap 'kubectl delete namespace "$namespace" --wait=false >/dev/null' EXIT

# until WHAT SECONDS COMMAND…: waits until the command succeeds.
until_true() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "not in time: $what"
    sleep 0.2
  done
  echo "$what"
}

env_of() { k get pod "$1" -o "jsonpath={.spec.containers[0].env[?(@.name=='$2')].value}"; }

# report SERVER PATH BODY: what the game in that server sends. Prints the answer's code.
report() {
  curl --silent --show-error --output /dev/null --write-out '%{http_code}' --cacert "$CA_FILE" \
    -X PUT "$(env_of "$1" API_SERVER_URL)/v1/self/$2?wait=true" -H "Authorization: Bearer $(env_of "$1" API_SERVER_CODE)" \
    -H 'Content-Type: application/json' -d "$3"
}
players() {
  local code
  code=$(report "$1" players "{\"count\": $2}")
  [ "$code" = 200 ] || fail "players of $1 were answered with $code"
  echo "$1 has $2 players"
}

field() { k get "$1" "$2" -o "jsonpath=$3"; }
pods() { k get pods -l game.kruise.io/owner-gss=$set -o name | sed 's|pod/||' | sort | tr '\n' ' '; }
there_are() { [ "$(pods | wc -w)" = "$1" ]; }
all_ready() { [ "$(field gss $set '{.status.readyReplicas}/{.status.availableReplicas}/{.status.replicas}')" = "$1/$1/$1" ]; }
claimed() { k get gs -o "jsonpath={.items[?(@.status.deletionClaim)].metadata.name}"; }
is_claimed() { [ -n "$(claimed)" ]; }
is_gone() { ! k get pod "$1" >/dev/null 2>&1; }
replicas_are() { [ "$(field gss $set '{.spec.replicas}')" = "$1" ]; }
condition() { field gss $set "{.status.conditions[?(@.type=='$1')].status}"; }
intervention() { [ "$(condition NeedsIntervention)" = True ]; }
uid() { field pod "$1" '{.metadata.uid}'; }
is_another() { local now; now=$(uid "$1" 2>/dev/null) && [ -n "$now" ] && [ "$now" != "$2" ]; }
has_port() { [ -n "$(field gs "$1" '{.status.networkStatus.externalAddresses[0].ports[0].port}')" ]; }

kubectl create namespace "$namespace" >/dev/null
say "a set of three, each with a port of its node"
k apply -f - <<EOF
apiVersion: game.kruise.io/v1alpha1
kind: GameServerSet
metadata: {name: $set}
spec:
  replicas: 3
  network: {networkType: Kubernetes-HostPort, networkConf: [{name: ContainerPorts, value: "game:7777/UDP"}]}
  players: {capacity: 10, drainWhenEmpty: true}
  failurePolicy: {behavior: Delete, maxFailures: 2}
  gameServerTemplate:
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: game, image: example.invalid/game:1}]
EOF
until_true "three servers are ready" 60 all_ready 3
for server in $(pods); do
  until_true "$server has a port" 30 has_port "$server"
  for name in SERVER_NAME SERVER_NAMESPACE API_SERVER_URL API_SERVER_CODE; do
    [ -n "$(env_of "$server" $name)" ] || fail "$server has no $name"
  done
done
k get gs -o wide

say "players come; nobody reports for another"
for server in $(pods); do players "$server" 4; done
code=$(curl --silent --output /dev/null --write-out '%{http_code}' --cacert "$CA_FILE" -X PUT -H 'Content-Type: application/json' \
  -H "Authorization: Bearer gk1_forged" -d '{"count": 0}' "$(env_of arena-0 API_SERVER_URL)/v1/self/players")
[ "$code" = 401 ] || fail "a forged code was answered with $code"

say "scale-in to two: the server that is to go waits for its players"
k scale gss $set --replicas 2
until_true "one server is claimed" 30 is_claimed
victim=$(claimed)
echo "$victim is to go: $(field gs "$victim" '{.status.deletionClaim.reason}')"
[ "$(field gs "$victim" '{.status.deletionClaim.reason}')" = Draining ] || fail "it does not drain"
players "$victim" 1
there_are 3 || fail "a server with a player went: $(pods)"
players "$victim" 0
until_true "$victim is gone with its last player" 30 is_gone "$victim"
until_true "two servers are left" 30 all_ready 2

say "the autoscaler follows the players out, and in over a cooldown"
k patch gss $set --type merge -p '{"spec": {"playerAutoscaling": {"enabled": true, "minReplicas": 2, "maxReplicas": 4,
  "scaleOutThreshold": 80, "scaleInThreshold": 60, "cooldownSeconds": 5}}}'
for server in $(pods); do players "$server" 9; done
until_true "replicas are 3" 60 replicas_are 3
until_true "three servers are ready" 60 all_ready 3
began=$SECONDS
for server in $(pods); do players "$server" 3; done
until_true "replicas are 2" 60 replicas_are 2
echo "$((SECONDS - began)) s after the players left; the cooldown was 5 s"
until_true "one server is claimed" 30 is_claimed
victim=$(claimed)
there_are 3 || fail "a server with players went: $(pods)"
players "$victim" 0
until_true "$victim is gone with its last player" 30 is_gone "$victim"
field gss $set '{.status.playerAutoscaling}'; echo
k patch gss $set --type merge -p '{"spec": {"playerAutoscaling": {"enabled": false}}}'

say "a server fails again and again"
until_true "two servers are ready" 60 all_ready 2
broken=$(pods | cut -d' ' -f1)
for failure in 1 2; do
  before=$(uid "$broken")
  code=$(report "$broken" health '{"health": "Failed", "reason": "the world is broken"}')
  [ "$code" = 200 ] || fail "a failure was answered with $code"
  until_true "$broken was made anew after failure $failure" 60 is_another "$broken" "$before"
  until_true "two servers are ready" 60 all_ready 2
done
until_true "the set needs intervention" 30 intervention
before=$(uid "$broken")
report "$broken" health '{"health": "Failed"}' >/dev/null
k get gss $set -o "jsonpath={.status.failures}{'\n'}{.status.conditions[?(@.type=='NeedsIntervention')].message}{'\n'}"
[ "$(uid "$broken")" = "$before" ] || fail "a third failure was replaced"
k get gss,gs -o wide
say "passed"
