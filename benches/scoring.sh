#!/usr/bin/env bash
# Measures what scoring costs the whole pipeline: without features, with features, three rules and
# boosted trees (100 of depth 3), and with the default model (a blend of two boostings). Each run gets a
# fresh server and a fresh data directory; the three kinds take turns, because machines are noisy.
#
#   benches/scoring.sh [SECONDS [ROUNDS]]        default 6 seconds a run, three rounds, medians shown
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-6}
rounds=${2:-3}
. benches/server.sh

cp configs/bench.toml "$scratch/plain.toml"
{ cat configs/bench.toml; printf '\n[risk.features]\nenabled = true\n'; } >"$scratch/scored.toml"
echo "training two models on generated payments" >&2
"$bin/millrace" risk generate --out "$scratch/payments.csv" --payments 300000 >/dev/null
train() {
    "$bin/millrace" risk train --data "$scratch/payments.csv" --train 2026-01-08..2026-01-21 "$@" \
        >/dev/null 2>&1
}
train --algorithm boosting --trees 100 --depth 3 --out "$scratch/boosting.mrm"
train --out "$scratch/blend.mrm"

# Of what was uploaded, its name.
upload() { "$bin/millrace" risk upload "$@" --actor bench --why bench | cut -d' ' -f1; }

# KIND CLIENTS ROUND
measure() {
    local config=scored
    [ "$1" = plain ] && config=plain
    start "$scratch/$config.toml"
    if [ "$1" != plain ]; then
        cat >"$scratch/policy.toml" <<POLICY
name = "bench"
model = "$(upload model "$scratch/$1.mrm")"
rules = "$(upload rules benches/scoring_rules.toml)"
[thresholds]
decline = 0.99
[budget]
request_ms = 0
then = "approve"
POLICY
        "$bin/millrace" risk policy set "$scratch/policy.toml" --actor bench --why bench >/dev/null
    fi
    "$bin/loadgen" run --duration "${seconds}s" --json --rate max --batch 1024 --clients "$2" \
        2>/dev/null >"$scratch/$1.$2.$3.json"
    stop
}

for clients in 8 16; do
    for round in $(seq "$rounds"); do
        for kind in plain boosting blend; do measure "$kind" "$clients" "$round"; done
    done
done
python3 - "$scratch" "$rounds" <<'PY'
import json, sys
scratch, rounds = sys.argv[1], range(1, int(sys.argv[2]) + 1)
kinds = {
    "plain": "no features",
    "boosting": "features, 3 rules, boosting 100 x depth 3",
    "blend": "features, 3 rules, the default blend",
}
print("| requests in flight | policy | payments/s | cost | p50 ms | p99 ms | all runs |")
print("|---|---|---|---|---|---|---|")
for clients in (8, 16):
    without = None
    for kind, name in kinds.items():
        runs = [json.load(open(f"{scratch}/{kind}.{clients}.{round}.json")) for round in rounds]
        assert not any(run["errors"] for run in runs), "no request failed"
        median = sorted(runs, key=lambda run: run["payments_per_s"])[len(runs) // 2]
        rate, latency = median["payments_per_s"], median["latency_ms"]
        without = without or rate
        cost = f"{100 * (1 - rate / without):.0f} %"
        every = ", ".join(f"{run['payments_per_s']:,.0f}" for run in runs)
        print(f"| {clients} | {name} | {rate:,.0f} | {cost if kind != 'plain' else ''} "
              f"| {latency['p50']:.2f} | {latency['p99']:.2f} | {every} |")
PY
