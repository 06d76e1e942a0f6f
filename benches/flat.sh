#!/usr/bin/env bash
# Shows whether a payment costs the same after one million of them and after fifty: short runs before, between and
# after long ones, in turns, and the millions within the last long run one by one. Ten thousand accounts, batches of
# 8,189 from 8 clients, durable, in a temporary directory that needs 9 GB.
# Prints Markdown, and on standard error how far it is. Needs cargo and python3; builds first.
#
#   benches/flat.sh [MILLIONS]        default 50; about a minute and a half
set -euo pipefail
cd "$(dirname "$0")/.."
millions=${1:-50}
if ! [[ $millions =~ ^[1-9][0-9]{0,2}$ ]] || [ "$millions" -lt 2 ]; then
    echo "MILLIONS is a number from 2 to 999, not $millions" >&2
    exit 2
fi
cargo build --release --locked --quiet -p millrace-benches --bin rates
rates=${CARGO_TARGET_DIR:-target}/release/rates
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch

turns=(1 1 1 "$millions" 1 1 1 "$millions" 1 1 1)
for turn in "${!turns[@]}"; do
    echo "$((turn + 1)) of ${#turns[@]}: ${turns[turn]} million payments" >&2
    if ! "$rates" --workload uniform --accounts 10000 --batch 8189 --clients 8 --payments "${turns[turn]}000000" \
        --every 1000000 --json >>"$scratch/runs" 2>"$scratch/windows"; then
        grep -v '^{' "$scratch/windows" >&2 || true
        exit 1
    fi
    if [ "${turns[turn]}" != 1 ]; then cp "$scratch/windows" "$scratch/millions"; fi
done
python3 - "$scratch/runs" "$scratch/millions" <<'PY'
import json, statistics, sys

def lines(path):
    return [json.loads(line) for line in open(path) if line.startswith("{")]

def costs(rows):
    of_clock = [1e9 / row["payments_per_s"] for row in rows]
    of_cpu = [1e9 * row["cpu_s"] / row["payments"] if "cpu_s" in row else 1e3 * row["cpu_us_per_payment"] for row in rows]
    return of_clock, of_cpu

def told(values):
    return ", ".join(f"{value:.0f}" for value in values)

runs = lines(sys.argv[1])
short = [run for run in runs if run["payments"] == 1_000_000]
long = [run for run in runs if run["payments"] != 1_000_000]
print("| payments | ns of time | ns of CPU, all threads | RSS MiB |\n|---|---|---|---|")
for name, rows in (("1 M", short), (f"{long[0]['payments'] // 1_000_000} M", long)):
    of_clock, of_cpu = costs(rows)
    memory = [row["rss_mb"] for row in rows]
    print(f"| {name} | {told(of_clock)}: **{statistics.median(of_clock):.0f}** "
          f"| {told(of_cpu)}: **{statistics.median(of_cpu):.0f}** | {min(memory):.0f} to {max(memory):.0f} |")
change = [statistics.median(after) / statistics.median(before) - 1 for before, after in zip(costs(short), costs(long))]
print(f"\nLong against short, by medians: {change[0]:+.0%} of time, {change[1]:+.0%} of CPU.")

windows = costs(lines(sys.argv[2]))
tenth = max(1, len(windows[0]) // 10)
print(f"\nOne million after the other in the last long run, first {tenth} and last {tenth} by medians, and the dearest:\n")
print("| | first | last | change | dearest |\n|---|---|---|---|---|")
for name, values in zip(("ns of time", "ns of CPU"), windows):
    first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
    print(f"| {name} | {first:.0f} | {last:.0f} | {last / first - 1:+.0%} | {max(values):.0f} |")
PY
