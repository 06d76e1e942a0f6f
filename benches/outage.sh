#!/usr/bin/env bash
# A million payments through JetStream into PostgreSQL and the audit log, then two minutes under load
# in which NATS and PostgreSQL are both down. Prints what arrived, how long the backlog took, and what
# payments felt. Everything is on loopback, in a temporary directory, and ends by itself after four
# minutes. Needs scripts/get-services.sh, and release builds of millrace and loadgen.
set -euo pipefail
cd "$(dirname "$0")/.."
bin="${CARGO_TARGET_DIR:-target}/release"
nats_server="${MILLRACE_NATS_SERVER:-${MILLRACE_TOOLS:-${CARGO_TARGET_DIR:-target}/tools}/nats-server}"
nats_server="$(realpath "$nats_server")"
postgres_bin="${MILLRACE_POSTGRES_BIN:-$(ls -d /usr/lib/postgresql/*/bin | tail -1)}"
down_s="${1:-120}"

scratch="$(mktemp -d)"
# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then chown nobody "$scratch"; as_nobody=(setpriv --reuid nobody --clear-groups); else as_nobody=(); fi
nats=; serve=
stop() {
    [ -z "$serve" ] || kill "$serve" 2>/dev/null || true
    [ -z "$nats" ] || kill "$nats" 2>/dev/null || true
    "${as_nobody[@]}" "$postgres_bin/pg_ctl" -D "$scratch/pg" -m immediate stop >/dev/null 2>&1 || true
    wait || true
    rm -rf "$scratch"
}
trap stop EXIT

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
nats_port=$(port); pg_port=$(port); grpc_port=$(port)
start_nats() { "$nats_server" -c "$scratch/nats.conf" >/dev/null 2>&1 & nats=$!; }
start_postgres() {
    "${as_nobody[@]}" "$postgres_bin/pg_ctl" -D "$scratch/pg" -l "$scratch/pg.log" -w start -o \
        "-p $pg_port -k '' -c listen_addresses=127.0.0.1 -c shared_buffers=256MB -c max_wal_size=4GB" >/dev/null
}
printf 'listen: "127.0.0.1:%s"\nmax_payload: 8MB\njetstream { store_dir: "%s" }\n' "$nats_port" "$scratch/nats" >"$scratch/nats.conf"
(cd "$scratch" && "${as_nobody[@]}" "$postgres_bin/initdb" -D "$scratch/pg" -U millrace --auth=trust --no-sync >/dev/null)
start_nats; cd "$scratch"; start_postgres; cd - >/dev/null
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

query() { psql -h 127.0.0.1 -p "$pg_port" -U millrace postgres -AtF ' ' -c "$1" 2>/dev/null || true; }
events() { "$bin/millrace" journal verify --json --data-dir "$scratch/data" | python3 -c 'import json, sys; print(json.load(sys.stdin)["events"])'; }
in_tables() { query 'SELECT next_seq - 1 FROM millrace.sink_cursor'; }
wait_for() { until [ "$(in_tables)" = "$1" ]; do sleep 0.1; done; }
compare() {
    echo "journal    $1 events"
    echo "payments   $(query 'SELECT count(*), count(DISTINCT payment_id), sum(amount_minor) FROM millrace.payments') (rows, ids, minor units)"
    echo "accounts   $(query 'SELECT sum(debits_posted), sum(credits_posted) FROM millrace.accounts') (debits, credits)"
}
load() { "$bin/loadgen" run --target "http://127.0.0.1:$grpc_port" --json "$@" 2>/dev/null; }
told() { python3 -c 'import json, sys; r = json.load(sys.stdin); l = r["latency_ms"]; print("load      ", r["payments"], "payments,", round(r["payments_per_s"]), "a second, p50", l["p50"], "ms, p99", l["p99"], "ms")'; }

echo "== a million payments"
began=$(date +%s.%N)
load --rate 200000 --duration 4s | told
last=$(events); wait_for "$last"
echo "in tables  $(python3 -c "import time; print(round(time.time() - $began, 1))") s after the load began"
compare "$last"

echo "== NATS and PostgreSQL down for $down_s s"
load --rate 5000 --duration "$((down_s + 20))s" --batch 64 --clients 16 >"$scratch/load.json" & loading=$!
sleep 10
kill -9 "$nats"; "${as_nobody[@]}" "$postgres_bin/pg_ctl" -D "$scratch/pg" -m immediate stop >/dev/null
sleep "$down_s"
start_nats; cd "$scratch"; start_postgres; cd - >/dev/null
up=$(date +%s.%N); before=$(in_tables)
wait "$loading"; last=$(events); wait_for "$last"
python3 -c "import time; s = time.time() - $up; print(f'drained    {$last - $before} events in {s:.1f} s, {($last - $before) / s:.0f} a second')"
told <"$scratch/load.json"
compare "$last"
kill -TERM "$serve"; wait "$serve"; serve=
"$bin/millrace" audit verify --data-dir "$scratch/data" | grep -E 'lines|settled|signed'
