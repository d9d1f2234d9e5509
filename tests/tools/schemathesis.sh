#!/bin/sh
# Prints the folder of programs with st (schemathesis), which tests the API against its OpenAPI document; installs it from PyPI
# the first time. Exit status 1, with the reason on standard error, if it cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${SCHEMATHESIS_VENV:-$root/target/venv-schemathesis}

# The marker is written last, so that a broken-off installation is not taken for one.
if [ ! -e "$venv/.complete" ]; then
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    command -v flock >/dev/null && flock 9
    if [ ! -e "$venv/.complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv" >&2 || { echo "no Python venv: install the package python3-venv" >&2; exit 1; }
        # What makes requests up is pinned as well: the same seed then makes the same ones.
        "$venv/bin/pip" install --quiet --disable-pip-version-check \
            'schemathesis==4.32.5' 'hypothesis==6.170.17' 'jsonschema-rs==0.60.3' 'openapi-spec-validator==0.9.0' >&2 ||
            { echo "schemathesis cannot be installed from PyPI" >&2; rm -rf "$venv"; exit 1; }
        touch "$venv/.complete"
    fi
fi
[ -x "$venv/bin/st" ] || { echo "$venv/bin/st is missing; delete $venv and try again" >&2; exit 1; }
echo "$venv/bin"
