#!/usr/bin/env bash
# Migrates in one go: submit, start, watch, retry, report. bash import.sh [--yes] [--job FILE]
# Exit codes: 0 done · 1 the previous job was neither cleaned nor resumed · 2 failed tasks remain
#             3 bad configuration · 4 the job stopped · 130 interrupted
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

exec bash "$(dirname "$script")/console.sh" import "$@"
