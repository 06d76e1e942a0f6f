#!/usr/bin/env bash
# How long after its decision a payment reaches a subscriber of the whole server: millrace serves with
# limits on and all sinks following, loadgen submits 500 payments a second over gRPC, each in a request
# of its own, and a client follows them over a WebSocket. All on loopback and one machine, in a
# temporary directory; takes half a minute and ends by itself.
#
#   cargo build --release -p millrace -p millrace-loadgen
#   cargo build --release -p millrace-sinks --example follow
#   benches/subscription.sh [PAYMENTS A SECOND] [MESSAGES]        default 500 and 7500
set -euo pipefail
cd "$(dirname "$0")/.."
bin="${CARGO_TARGET_DIR:-target}/release"
rate="${1:-500}"
messages="${2:-7500}"

scratch="$(mktemp -d)"
serve=; load=
stop() {
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    [ -z "$serve" ] || kill "$serve" 2>/dev/null || true
    wait || true
    rm -rf "$scratch"
}
trap stop EXIT

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
grpc_port=$(port); graphql_port=$(port)
{
    grep -v '^data_dir' configs/bench.toml
    printf '[ingest]\nlisten = "127.0.0.1:%s"\n' "$grpc_port"
    printf '[sinks.graphql]\nlisten = "127.0.0.1:%s"\n' "$graphql_port"
    printf '[metrics]\nenabled = false\n'
} >"$scratch/millrace.toml"
"$bin/millrace" serve --config "$scratch/millrace.toml" --data-dir "$scratch/data" 2>"$scratch/serve.log" & serve=$!
for _ in $(seq 100); do grep -q ' ready ' "$scratch/serve.log" && break; sleep 0.1; done

# Longer than it is followed: the client ends first.
"$bin/loadgen" run --target "http://127.0.0.1:$grpc_port" --rate "$rate" --batch 1 --clients 32 \
    --accounts 1000 --warmup 3s --duration "$((messages / rate + 12))s" --json \
    >"$scratch/load.json" 2>"$scratch/load.log" & load=$!
# By then the accounts are open and funded.
sleep 3
"$bin/examples/follow" "127.0.0.1:$graphql_port" "$messages" "$rate"
wait "$load"; load=
python3 - "$scratch/load.json" <<'PY'
import json, sys
run = json.load(open(sys.argv[1]))
print(f"loadgen meanwhile: {run['payments_per_s']:.0f} payments/s, from due to answered "
      f"p50 {run['latency_ms']['p50']:.2f} ms, p99 {run['latency_ms']['p99']:.2f} ms, "
      f"{len(run['errors'])} errors")
PY
