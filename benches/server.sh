# For the scripts beside it, which source it: builds millrace and loadgen, makes a directory that is removed
# at the end, and starts and stops one server at a time in a fresh data directory within it.
#
# Gives them $bin, $scratch, `start CONFIG` and `stop`.
cargo build --release --locked --quiet -p millrace -p millrace-loadgen
bin=${CARGO_TARGET_DIR:-target}/release
scratch=$(mktemp -d)
server=
start() {
    "$bin/millrace" serve --config "$1" --data-dir "$scratch/data" 2>"$scratch/server.log" &
    server=$!
    for _ in $(seq 100); do grep -q ready "$scratch/server.log" && break; sleep 0.1; done
}
stop() {
    if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    server=
    rm -rf "$scratch/data"
}
trap 'stop; rm -rf "$scratch"' EXIT
