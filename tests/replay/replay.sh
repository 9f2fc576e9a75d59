# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# For the tests of viommu replay, sourced by them with their arguments: SOURCE-DIR VIOMMU.
# $dir is a folder for recordings, with the last output in $dir/out and $dir/err.
source=$1
viommu=$2
# shellcheck source=../support/tap.sh
. "$source/tests/support/tap.sh"
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT

# has_vendor NAME: of those in this build
has_vendor() {
    "$viommu" --version | grep -Eq "^vendors:.*\b$1\b"
}
# Hosts that cannot nest: what to ask for.
unnested=()
for backend in $("$viommu" --version | sed -n 's/^backends: //p' | tr -d ,); do
    unnested+=("--no-nesting --backend $backend")
done
# replay STATUS NAME ARGUMENT...: the exit status is this; output to $dir/out and $dir/err
replay() {
    local want=$1 name=$2
    shift 2
    "$viommu" replay "$@" >"$dir/out" 2>"$dir/err"
    local got=$?
    [ $got = "$want" ]
    tap_ok $? "exit status $want: $name"
    [ $got = "$want" ] || {
        echo "exit status $got"
        cat "$dir/out" "$dir/err"
    } | tap_note
}
# has FILE WORDS
has() {
    grep -qF -- "$2" "$dir/$1"
    tap_ok $? "said: $2"
}
has_not() {
    ! grep -qF -- "$2" "$dir/$1"
    tap_ok $? "not said: $2"
}
count_is() {
    grep -Eq "^  $1 +$2\$" "$dir/out"
    tap_ok $? "$1 is $2"
}
# spoil NAME SED-SCRIPT [FROM]: a copy, of $dir/good or another, with a difference
spoil() {
    sed "$2" "$dir/${3:-good}" >"$dir/$1"
    ! cmp -s "$dir/${3:-good}" "$dir/$1" || echo "Bail out! $2 changes nothing"
}
