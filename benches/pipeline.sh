#!/usr/bin/env bash
# Measures the whole pipeline over gRPC on loopback: limits on, all sinks following, the load
# generator beside it on the same machine. Each row gets a fresh server and a fresh data directory.
#
#   benches/pipeline.sh [SECONDS]        default 10 seconds a row; three runs of each, median shown
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
. benches/server.sh

measure() {
    for run in 1 2 3; do
        start configs/bench.toml
        "$bin/loadgen" run --duration "${seconds}s" --json "$@" 2>/dev/null >"$scratch/$run.json"
        stop
    done
    python3 - "$*" "$scratch" <<'PY'
import json, sys
runs = [json.load(open(f"{sys.argv[2]}/{run}.json")) for run in (1, 2, 3)]
median = sorted(runs, key=lambda run: run["payments_per_s"])[1]
latency = median["latency_ms"]
rates = ", ".join(f"{run['payments_per_s']:,.0f}" for run in runs)
print(f"| `{sys.argv[1]}` | {median['payments_per_s']:,.0f} | {latency['p50']:.2f} "
      f"| {latency['p99']:.2f} | {rates} | {sum(map(lambda run: len(run['errors']), runs))} |")
PY
}

echo "| loadgen run | payments/s | p50 ms | p99 ms | all runs | errors |"
echo "|---|---|---|---|---|---|"
measure --rate max --batch 1024 --clients 8
measure --rate max --batch 1024 --clients 16
measure --rate 600000 --batch 1024 --clients 64
measure --rate max --batch 1024 --clients 8 --context
measure --rate max --batch 1024 --clients 8 --accounts 1000000
measure --rate max --batch 1024 --clients 8 --random-ids
measure --rate max --batch 64 --clients 32
measure --rate max --batch 1 --clients 32
measure --rate max --batch 1 --clients 32 --connections 32
measure --rate 20000 --batch 1 --clients 32 --connections 32
measure --rate max --batch 1 --clients 256 --connections 8
