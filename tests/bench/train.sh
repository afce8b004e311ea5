#!/bin/sh
# train.sh BINARY TOOLS - lets a binary that counts (VARIANT=train) do what outrigger does all day, so that the compiler knows which way the
# branches go: small answers, larger ones, bodies both ways, new connections; with nothing configured, and with policies and a log. Eight seconds.
set -eu

binary=$1 tools=$2
work=$(mktemp -d)
origin= proxy=
trap 'kill $origin $proxy 2>/dev/null || true; rm -rf "$work"' EXIT

# Ports below those that the kernel gives to clients; one that is taken ends it here, and the next try takes others.
first=$((20000 + $$ % 4000 * 2))
"$tools/origin" "$first" & origin=$!
cat > "$work/train.yaml" <<YAML
listen: 127.0.0.1:$((first + 1))
admin: { listen: "off" }
sandbox: off                  # the counts are written where the objects are
supervisor: off
access_log: { to: /dev/null }
client: { max_connections: 1000 }
upstreams:
  app: { endpoints: "http://127.0.0.1:$first" }
  guarded:
    endpoints: "http://127.0.0.1:$first"
    concurrency: { limit: 1000, queue: 100 }
    circuit_breaker: {}
routes:
  - { path: /small, upstream: app }
  - { path: /, upstream: guarded, rate_limit: { rate: 1000000/s, burst: 1000000, key: client_ip } }
YAML
"$binary" run -c "$work/train.yaml" 2>"$work/log" & proxy=$!

load() {
	"$tools/load" --port $((first + 1)) "$@" > "$work/result" || { cat "$work/log" "$work/result" >&2; exit 1; }
	grep -q '"errors":0,"non_200":0,' "$work/result" || { cat "$work/log" "$work/result" >&2; echo "train.sh: not every request was answered; VARIANT=release needs no training" >&2; exit 1; }
}

for try in 1 2 3 4 5 6 7 8 9 10; do       # it listens within two seconds
	sleep 0.2
	grep -q '"event":"listening"' "$work/log" && break
done
load --path /small --expect 100 --clients 32 --milliseconds 2000
load --path /16k --expect 16384 --clients 32 --milliseconds 1500
load --path /small --expect 100 --post 1024 --clients 32 --milliseconds 1500
load --path /1m --expect 1048576 --clients 8 --milliseconds 700
load --path /small --expect 100 --post 1048576 --clients 8 --milliseconds 700
load --path /small --expect 100 --clients 16 --new-connection --milliseconds 1000

kill "$proxy"
wait "$proxy" || { cat "$work/log" >&2; exit 1; }
proxy=
