#!/bin/sh
# Prints the path of sushy-emulator, the Redfish BMC that the tests talk to; installs it from PyPI the first time.
# Exit status 1, with the reason on standard error, if it cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${REDFISH_EMULATOR_VENV:-$root/target/venv-sushy}
bin=$("$root/tests/tools/pypi-venv.sh" "$venv" 'sushy-tools==2.2.0')
[ -x "$bin/sushy-emulator" ] || { echo "$bin/sushy-emulator is missing; delete $venv and try again" >&2; exit 1; }
echo "$bin/sushy-emulator"
