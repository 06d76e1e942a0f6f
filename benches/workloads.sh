#!/usr/bin/env bash
# Measures the engine in process, durably, under every workload that is always reported: batches of 1 to
# 8,189, one and 32 clients, one shard and what the engine takes by default (two, where that is one).
# Each run gets a fresh engine in a temporary directory, which needs up to 3 GB a second of a run.
# Prints a Markdown table, and on standard error how far it is. Needs cargo and python3; builds first.
#
#   benches/workloads.sh [SECONDS_PER_RUN]        default 2 seconds; 140 runs, in about 7 minutes
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-2}
cargo build --release --locked --quiet -p millrace-benches --bin rates
rates=${CARGO_TARGET_DIR:-target}/release/rates
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch

default=$("$rates" --payments 1000 --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["shards"])')
if [ "$default" = 1 ]; then
    other=2
    echo "one shard is the default on this machine: two shards beside it" >&2
else
    other=$default
    echo "$default shards are the default on this machine: one beside it" >&2
fi

# WORKLOAD ACCOUNTS BATCH SHARDS CLIENTS: payments/s and latency, as two cells.
measure() {
    # More payments than there can be in the time: it is the time that ends a run.
    "$rates" --workload "$1" --accounts "$2" --batch "$3" --shards "$4" --clients "$5" \
        --payments 3000000000 --seconds "$seconds" --json >"$scratch/run.json"
    python3 - "$scratch/run.json" <<'PY'
import json, sys
run = json.load(open(sys.argv[1]))
print(f" {run['payments_per_s']:,.0f} | {run['p50_ms']:.2f} / {run['p99_ms']:.2f} |", end="")
PY
}

runs=0
header='| workload, accounts | batch |'
line='|---|---|'
for shards in 1 "$other"; do
    for clients in '1 client' '32 clients'; do
        header+=" S = $shards, $clients: payments/s | p50 / p99 ms |"
        line+='---|---|'
    done
done
printf '%s\n%s\n' "$header" "$line"
for row in 'uniform 10000' 'zipf 10000' 'hot 10000' 'two 10000' 'holds 10000' 'random-ids 10000' 'uniform 1000000'; do
    read -r workload accounts <<<"$row"
    for batch in 1 10 100 1000 8189; do
        cells="| $workload, $accounts | $batch |"
        for shards in 1 "$other"; do
            for clients in 1 32; do
                runs=$((runs + 1))
                echo "$runs of 140: $workload, $accounts accounts, batches of $batch, $shards shards, $clients clients" >&2
                cells+=$(measure "$workload" "$accounts" "$batch" "$shards" "$clients")
            done
        done
        echo "$cells"
    done
done
