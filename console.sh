#!/usr/bin/env bash
# Runs one verb of ossimport: bash console.sh start
# The first run makes .venv beside this file and installs the project there; later runs only check
# that nothing has changed since.
set -euo pipefail

# This file's directory, also through symbolic links (macOS has no readlink -f).
script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in
        /*) script=$target ;;
        *) script=$(dirname "$script")/$target ;;
    esac
done
home=$(cd "$(dirname "$script")" && pwd -P)
venv=$home/.venv
stamp=$venv/installed

say() { printf '%s\n' "$*" >&2; }

die() {
    say "Error: $1"
    say "    cure: $2"
    exit 3
}

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    die "ossimport needs Python 3.11 or newer, and there is none on this machine's PATH." \
        "Debian, Ubuntu: sudo apt install python3 python3-venv · macOS: brew install python@3.13"
}

# What an installation depends on; another text means that it must be made again.
fingerprint() {
    echo "$home"
    "$venv/bin/python" -V 2>/dev/null || true
    cksum <"$home/pyproject.toml"
    cksum <"$home/constraints.txt"
}

make_venv() {
    local python
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments." "sudo apt install python3-venv"
    "$python" -m venv --clear "$venv" ||
        die "$venv cannot be made." "see the lines above; this user must be able to write to $home"
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$home/constraints.txt" --editable "$home" >&2
}

install() {
    say "Installing ossimport into $venv (only this once; it takes about a minute) ..."
    rm -f "$stamp" 2>/dev/null ||
        die "$venv is older than this version, and belongs to another user." \
            "run this as that user, or give all of $home to this one (chown -R)"
    if ! { "$venv/bin/python" -m pip --version >/dev/null 2>&1 && pip_install; }; then
        make_venv # there was none, or an interrupted run left half of one
        pip_install ||
            die "pip could not install ossimport." \
                "see its message above; it needs a package index (PIP_INDEX_URL names another one)"
    fi
    fingerprint >"$stamp"
    say "Installed."
}

if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$(fingerprint)" ]; then
    install
fi

export OSS_IMPORT_HOME=${OSS_IMPORT_HOME:-$home}
exec "$venv/bin/python" -m ossimport "$@"
