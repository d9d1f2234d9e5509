#!/bin/sh
# pypi-venv.sh VENV PACKAGE...: prints the folder of programs of a Python environment with these packages of PyPI, which is made the
# first time. Exit status 1, with the reason on standard error, if it cannot be had.
set -eu
venv=$1
shift

# The marker is written last, so that a broken-off installation is not taken for one.
if [ ! -e "$venv/.complete" ]; then
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    command -v flock >/dev/null && flock 9
    if [ ! -e "$venv/.complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv" >&2 || { echo "no Python venv: install the package python3-venv" >&2; exit 1; }
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 ||
            { echo "$* cannot be installed from PyPI" >&2; rm -rf "$venv"; exit 1; }
        touch "$venv/.complete"
    fi
fi
echo "$venv/bin"
