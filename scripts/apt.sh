# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts need of apt, sourced by them. Nothing here changes the machine's list of
# package sources: other suites are reached through private lists in the build area, by
# the mirror and keyring that the machine is configured with.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$0: $*"
    exit 1
}

# Install packages, if this is a Debian and we may; else say what is missing.
apt_install() {
    command -v apt-get >/dev/null || die "please install what Debian calls: $*"
    [ "$(id -u)" = 0 ] || die "not root: please run 'apt-get install $*'"
    say "installing: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# The Debian mirror that this machine uses.
apt_mirror() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
    [ -n "$mirror" ] || die "no Debian mirror is configured for apt"
    echo "$mirror"
}

# apt_private DIR SUITE...: private lists in DIR of this machine's sources and these suites;
# afterwards "${APT_PRIVATE[@]}" makes an apt command use them.
apt_private() {
    local dir=$1 suite signed='' keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    shift
    mirror=$(apt_mirror)
    mkdir -p "$dir"/{lists/partial,sources,archives/partial}
    [ -e "$keyring" ] && signed="[signed-by=$keyring] "
    : >"$dir/sources/other.list"
    for suite in "$@"; do
        echo "deb $signed$mirror $suite main" >>"$dir/sources/other.list"
    done
    [ -e /etc/apt/sources.list.d/debian.sources ] &&
        cp /etc/apt/sources.list.d/debian.sources "$dir/sources/"
    APT_PRIVATE=(-o "Dir::State::Lists=$dir/lists" -o "Dir::Etc::SourceParts=$dir/sources"
        -o "Dir::Cache::Archives=$dir/archives" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
        -o APT::Sandbox::User=root)
    apt-get "${APT_PRIVATE[@]}" update -qq
}
