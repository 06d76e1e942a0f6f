#!/usr/bin/env bash
# A million payments through JetStream into PostgreSQL and the audit log, then an outage under load in
# which NATS and PostgreSQL are both down. Compares what arrived with what the ledger says, shows how
# fast the backlog grew and how fast it drained, and what payments felt. The exit code is 1 where
# anything differs, a payment failed, or the backlog drained less than twice as fast as it grew.
#
#   benches/outage.sh [--down SECONDS] [--rate PAYMENTS_PER_S] [--payments COUNT]
#
# Without arguments: 120 s, 12,000 payments a second, 1,000,000 payments first; about five minutes.
# Everything is on loopback, in a temporary directory, and ends by itself. Needs
# scripts/get-services.sh, psql, and release builds of millrace and loadgen:
#   cargo build --release -p millrace -p millrace-loadgen
set -euo pipefail
cd "$(dirname "$0")/.."
down_s=120; rate=12000; payments=1000000
while [ $# -gt 0 ]; do
    case "$1" in
        --down) down_s="$2"; shift 2 ;;
        --rate) rate="$2"; shift 2 ;;
        --payments) payments="$2"; shift 2 ;;
        *) sed -n '/^#   benches/p' "$0" >&2; exit 2 ;;
    esac
done
bin="${CARGO_TARGET_DIR:-target}/release"
nats_server="${MILLRACE_NATS_SERVER:-${MILLRACE_TOOLS:-${CARGO_TARGET_DIR:-target}/tools}/nats-server}"
nats_server="$(realpath "$nats_server")"
postgres_bin="${MILLRACE_POSTGRES_BIN:-$(ls -d /usr/lib/postgresql/*/bin | tail -1)}"
# Longest wait until the read side has caught up.
drain_max_s=$((down_s * 4 + 300))

scratch="$(mktemp -d)"
# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then chown nobody "$scratch"; as_nobody=(setpriv --reuid nobody --clear-groups); else as_nobody=(); fi
nats=; serve=; loading=
stop() {
    for child in "$loading" "$serve" "$nats"; do
        [ -z "$child" ] || kill "$child" 2>/dev/null || true
    done
    pg_ctl -m immediate stop >/dev/null 2>&1 || true
    wait || true
    rm -rf "$scratch"
}
trap stop EXIT

failures=0
wrong() { echo "WRONG      $*"; failures=$((failures + 1)); }
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
nats_port=$(port); pg_port=$(port); grpc_port=$(port)
start_nats() { "$nats_server" -c "$scratch/nats.conf" >/dev/null 2>&1 & nats=$!; }
# From the scratch directory, which whoever it runs as may enter.
pg_ctl() { (cd "$scratch" && "${as_nobody[@]}" "$postgres_bin/pg_ctl" -D "$scratch/pg" "$@"); }
start_postgres() {
    pg_ctl -l "$scratch/pg.log" -w start -o \
        "-p $pg_port -k '' -c listen_addresses=127.0.0.1 -c shared_buffers=256MB -c max_wal_size=4GB" >/dev/null
}
printf 'listen: "127.0.0.1:%s"\nmax_payload: 8MB\njetstream { store_dir: "%s" }\n' "$nats_port" "$scratch/nats" >"$scratch/nats.conf"
(cd "$scratch" && "${as_nobody[@]}" "$postgres_bin/initdb" -D "$scratch/pg" -U millrace --auth=trust --no-sync >/dev/null)
start_nats; start_postgres
cat >"$scratch/millrace.toml" <<TOML
data_dir = "$scratch/data"
[ingest]
listen = "127.0.0.1:$grpc_port"
[stream]
url = "nats://127.0.0.1:$nats_port"
[postgres]
url = "postgres://millrace@127.0.0.1:$pg_port/postgres"
[sinks.graphql]
listen = "127.0.0.1:0"
[metrics]
enabled = false
TOML
"$bin/millrace" serve --config "$scratch/millrace.toml" 2>"$scratch/serve.log" & serve=$!
for _ in $(seq 100); do grep -q ' ready ' "$scratch/serve.log" && break; sleep 0.1; done

now() { date +%s.%N; }
since() { python3 -c "import time; print(f'{time.time() - $1:.1f}')"; }
query() { psql -h 127.0.0.1 -p "$pg_port" -U millrace postgres -AtF ' ' -c "$1" 2>/dev/null || true; }
in_tables() { query 'SELECT next_seq - 1 FROM millrace.sink_cursor'; }
events() { "$bin/millrace" journal verify --json --data-dir "$scratch/data" | python3 -c 'import json, sys; print(json.load(sys.stdin)["events"])'; }
wait_for() {
    local began; began=$(date +%s)
    until [ "$(in_tables)" = "$1" ]; do
        if [ $(($(date +%s) - began)) -gt "$drain_max_s" ]; then
            echo "the tables end with event $(in_tables) of $1 after $drain_max_s s" >&2
            tail -5 "$scratch/serve.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}
# The four sums of the ledger, from the journal itself.
ledgers_sums() {
    "$bin/millrace" report trial-balance --json --data-dir "$scratch/data" | python3 -c '
import json, sys
sums = [0] * 4
names = ["debits_posted", "credits_posted", "debits_pending", "credits_pending"]
for ledger in json.load(sys.stdin)["ledgers"]:
    for place, name in enumerate(names):
        sums[place] += int(ledger["total"][name + "_minor"])
print(*sums)'
}
# Events of the journal; payments that the load generator was told of and those that opened the accounts.
compare() {
    local sums rows
    rows=$(query 'SELECT count(*), count(DISTINCT payment_id), count(DISTINCT event_seq) FROM millrace.payments')
    sums=$(query 'SELECT sum(debits_posted), sum(credits_posted), sum(debits_pending), sum(credits_pending) FROM millrace.accounts')
    accounts=$(query 'SELECT count(*) FROM millrace.accounts')
    echo "journal    $1 events"
    echo "payments   $rows (rows, ids, positions), $accounts accounts"
    echo "tables     $sums (debits, credits, and both pending)"
    echo "ledger     $(ledgers_sums)"
    [ "$sums" = "$(ledgers_sums)" ] || wrong "the sums of the tables are not the ledger's"
    local each=$(($1 - accounts))
    [ "$rows" = "$each $each $each" ] || wrong "the tables do not have each of $each payments once"
}
load() { "$bin/loadgen" run --target "http://127.0.0.1:$grpc_port" --json "$@" 2>/dev/null; }
told() {
    python3 -c '
import json, sys
r = json.load(sys.stdin); l = r["latency_ms"]
errors = sum(r["errors"].values())
print("load      ", r["payments"], "payments,", round(r["payments_per_s"]), "a second, p50", l["p50"], "ms, p99", l["p99"], "ms, most", l["max"], "ms,", errors, "errors")
sys.exit(errors > 0)' || wrong "payments failed"
}

echo "== $payments payments"
began=$(now)
# A second of warming up comes on top.
load --rate 200000 --duration "$((payments / 200000 + (payments % 200000 > 0)))s" >"$scratch/load.json"
told <"$scratch/load.json"
last=$(events); wait_for "$last"
echo "in tables  $(since "$began") s after the load began"
compare "$last"

echo "== NATS and PostgreSQL down for $down_s s, under $rate payments a second"
load --rate "$rate" --duration "$((down_s + 20))s" --batch 64 --clients 16 >"$scratch/load.json" & loading=$!
sleep 10
before=$(in_tables); fell=$(now)
kill -9 "$nats"; wait "$nats" 2>/dev/null || true
pg_ctl -m immediate stop >/dev/null
sleep "$down_s"
head=$(events); rose=$(now)
start_nats; start_postgres
wait "$loading" && loading=
told <"$scratch/load.json"
last=$(events); wait_for "$last"; drained=$(now)
python3 - "$before" "$head" "$last" "$fell" "$rose" "$drained" <<'PY' || wrong "the backlog drained less than twice as fast as it grew"
import sys
before, head, last = map(int, sys.argv[1:4])
fell, rose, drained = map(float, sys.argv[4:7])
grew = (head - before) / (rose - fell)
# From the moment that the servers are started: they recover, clients come back, all is caught up with.
drain = (last - before) / (drained - rose)
print(f"backlog    {head - before} events in {rose - fell:.1f} s: grew by {grew:.0f} a second")
print(f"drained    {last - before} events in {drained - rose:.1f} s, {drain:.0f} a second, {drain / grew:.1f} times as fast")
sys.exit(drain < 2 * grew)
PY
compare "$last"
settled=$(query "SELECT count(*) FROM millrace.payments WHERE status = 'settled'")
kill -TERM "$serve"; wait "$serve" || wrong "millrace did not end well"; serve=
"$bin/millrace" audit verify --json --journal --data-dir "$scratch/data" >"$scratch/audit.json" || wrong "the audit log is not the journal's"
python3 - "$scratch/audit.json" "$last" "$settled" <<'PY' || wrong "the audit log does not have each event once"
import json, sys
report = json.load(open(sys.argv[1]))
print("audit log ", report["lines"], "lines,", report["settled"], "settled, whole:", report["whole"], "- compared with the journal:", report["compared_with_journal"])
sys.exit([report["whole"], report["lines"], report["settled"]] != [True, int(sys.argv[2]), int(sys.argv[3])])
PY
[ "$failures" = 0 ] || { echo "$failures of the above are wrong"; exit 1; }
echo "all of it is equal"
