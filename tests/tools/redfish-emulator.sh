#!/bin/sh
# Prints the path of sushy-emulator, the Redfish BMC that the tests talk to; installs it from PyPI the first time.
# Exit status 1, with the reason on standard error, if it cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${REDFISH_EMULATOR_VENV:-$root/target/venv-sushy}
emulator=$venv/bin/sushy-emulator

# The marker is written last, so that a broken-off installation is not taken for one.
if [ ! -e "$venv/.complete" ]; then
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    command -v flock >/dev/null && flock 9
    if [ ! -e "$venv/.complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv" >&2 || { echo "no Python venv: install the package python3-venv" >&2; exit 1; }
        "$venv/bin/pip" install --quiet --disable-pip-version-check 'sushy-tools==2.2.0' >&2 ||
            { echo "sushy-tools cannot be installed from PyPI" >&2; rm -rf "$venv"; exit 1; }
        touch "$venv/.complete"
    fi
fi
[ -x "$emulator" ] || { echo "$emulator is missing; delete $venv and try again" >&2; exit 1; }
echo "$emulator"
