#!/bin/sh
# Runs on a host of the fleet, in the directory that deploy has just filled: makes the virtual
# environment of a build, if it came with one, and then puts everything in its place.
# usage: sh install.sh BUILD
set -eu
build=$1
incoming=$(pwd -P)
deployed=$(dirname "$incoming")
trap 'rm -rf "$incoming"' EXIT
cd "$deployed"

die() {
    echo "$1" >&2
    echo "    cure: $2" >&2
    exit 3
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    die "There is no Python 3.11 or newer on the PATH that ssh gives." \
        "Debian, Ubuntu: sudo apt install python3 python3-venv"
}

usable() {
    [ -f "$build/complete" ] && "$build/bin/python" -c 'import ossimport, workers' 2>/dev/null
}

install() {
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments." "sudo apt install python3-venv"
    "$python" -m venv --clear "$build" || die "$deployed/$build cannot be made." "see the lines above"
    set -- -qq --disable-pip-version-check --no-input
    cure="it needs a package index on that host (PIP_INDEX_URL, pip.conf), or deploy --wheelhouse DIR"
    if [ -d "$incoming/wheelhouse" ]; then
        set -- "$@" --no-index --find-links "$incoming/wheelhouse"
        cure="the wheelhouse must come from a machine of the same kind with $("$build/bin/python" -V)"
    fi
    "$build/bin/python" -m pip install "$@" --constraint "$incoming/constraints.txt" \
        "$incoming"/*.whl ||
        die "pip could not install ossimport." "see its message above; $cure"
    touch "$build/complete"
}

usable || install

mkdir -p ../conf
mv -f "$incoming/conf/"* ../conf/

before=$(readlink current || true)
ln -sfn "$build" current
# The one before, and one that still runs, stay.
for old in */; do
    old=${old%/}
    case $old in
        "$build" | "$before" | current | incoming*) ;;
        *) grep -q "/$old\"" ../run/status.json 2>/dev/null || rm -rf "$old" ;;
    esac
done
