#!/bin/sh
# Prints the folder of programs with st (schemathesis), which tests the API against its OpenAPI document; installs it from PyPI
# the first time. Exit status 1, with the reason on standard error, if it cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${SCHEMATHESIS_VENV:-$root/target/venv-schemathesis}
# What makes requests up is pinned as well: the same seed then makes the same ones.
bin=$("$root/tests/tools/pypi-venv.sh" "$venv" 'schemathesis==4.32.5' 'hypothesis==6.170.17' 'jsonschema-rs==0.60.3' 'openapi-spec-validator==0.9.0')
[ -x "$bin/st" ] || { echo "$bin/st is missing; delete $venv and try again" >&2; exit 1; }
echo "$bin"
