# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A TAP producer for tests in shell, sourced by them: tap_ok STATUS NAME, tap_skip REASON
# NAME, and tap_done at the end.

tap_points=0
tap_failed=0

tap_ok() {
    tap_points=$((tap_points + 1))
    if [ "$1" = 0 ]; then
        echo "ok $tap_points - $2"
    else
        tap_failed=1
        echo "not ok $tap_points - $2"
    fi
}

tap_skip() {
    tap_points=$((tap_points + 1))
    echo "ok $tap_points - $2 # SKIP $1"
}

tap_note() {
    while IFS= read -r line; do
        echo "# $line"
    done
}

tap_done() {
    echo "1..$tap_points"
    exit "$tap_failed"
}
