#!/usr/bin/env bash
# Everything that must hold before a change lands: format, lints, all tests, doc tests, licences.
# Does its own set-up on a fresh Debian or Ubuntu machine with a Rust toolchain (rustup or apt).
# The servers that tests talk to (NATS, PostgreSQL, SMTP) come from package registries; the tests
# start them on free ports and in temporary directories, and stop them.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust 1.92 or later (https://rustup.rs), then run ./test.sh again" >&2
    exit 1
fi
# A C compiler builds the hashes.
if ! command -v cc >/dev/null; then
    step "installing a C compiler"
    if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi
    $as_root apt-get update -qq && $as_root apt-get install -y -qq gcc libc6-dev
fi
for component in rustfmt clippy; do
    if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
        step "installing $component"
        rustup component add "$component"
    fi
done

# One target directory for all of it, so that nothing is built twice.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

step "servers for tests"
export MILLRACE_TOOLS="$CARGO_TARGET_DIR/tools"
./scripts/get-services.sh
# A test that misses its server fails here; elsewhere it is skipped and says so.
export MILLRACE_REQUIRE_SERVICES=1

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "tests and doc tests"
# Built first and without a limit; what then takes half an hour hangs, and its last line says which test.
cargo test --workspace --locked --no-run --quiet
if ! timeout --foreground --kill-after 10 1800 cargo test --workspace --locked; then
    echo "the tests failed, or did not end within 30 minutes: see the last lines above" >&2
    exit 1
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "licences, sources and duplicates"
deny="$CARGO_TARGET_DIR/tools/bin/cargo-deny"
if ! [ -x "$deny" ]; then
    cargo install cargo-deny --version 0.20.2 --locked --debug --quiet --root "$CARGO_TARGET_DIR/tools"
fi
"$deny" --locked check licenses sources bans
# Advisories are checked where their database can be reached.
if timeout 60 git ls-remote --quiet https://github.com/rustsec/advisory-db HEAD >/dev/null 2>&1; then
    "$deny" --locked check advisories
else
    echo "advisories: not checked, their database can't be reached from here"
fi

step "all is well"
