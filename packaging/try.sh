# What the tests of the package and of the image share: sourced by them. Each defines `inside`, which does a line as root where it is
# tried, without a word about it.

doc=/usr/share/doc/plugd

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Sets `package` and `folder` to what these tests are given; both are looked at before anything is removed: take_arguments ARGUMENT…
take_arguments() {
    (($# == 2)) || fail "usage: ${0##*/} PACKAGE FOLDER"
    package=$1
    [[ -f $package ]] || fail "there is no package $package"
    [[ -n $2 ]] || fail 'FOLDER is empty'
    folder=$(realpath --canonicalize-missing -- "$2") || fail "FOLDER is no path: $2"
    [[ $folder != / ]] || fail 'FOLDER is /'
}

# Removes a Debian. What debootstrap was interrupted in may have this host's /proc mounted: what is mounted is never removed.
remove() {
    local mounted
    findmnt --noheadings --list --output TARGET | awk -v below="$1/" 'index($0, below) == 1' | tac | while read -r mounted; do
        umount --recursive "$mounted" 2>/dev/null || true
    done
    rm -rf --one-file-system -- "$1"
}

# The mirror of Debian that apt of this host fetches from, as the default may be out of reach; nothing where apt has none of it.
mirror() {
    # shellcheck disable=SC2016 # For apt.
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' 2>/dev/null |
        awk '/^https?:/ && !found++' || true
}

# A fresh copy of a Debian with these packages, which is made where there is none: copy_of_debian FOLDER PACKAGES.
# FOLDER/base is kept for the next time, FOLDER/root is the copy.
copy_of_debian() {
    local base=$1/base root=$1/root
    if [[ $(cat "$base/.done" 2>/dev/null) != "$2" ]]; then
        remove "$base"
        mkdir -p "$base"
        # shellcheck disable=SC2046 # Not an argument where there is none.
        debootstrap --variant=minbase --include="$2" bookworm "$base" $(mirror)
        echo "$2" >"$base/.done"
    fi
    remove "$root"
    cp -a "$base" "$root"
    # Debian's smallest images leave the manual out; these tests are about it, too. And what apt prints goes into a file.
    rm -f "$root/etc/dpkg/dpkg.cfg.d/"*
    echo 'Dpkg::Use-Pty "0";' >"$root/etc/apt/apt.conf.d/no-terminal"
}

# The environment of root.
as_root() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        "$@"
}

# Does a line as in a terminal.
run() {
    printf '\n# %s\n' "$1"
    inside "$1" </dev/null
}

# Whether a line succeeds.
holds() {
    inside "$1" >/dev/null || fail "does not hold: $1"
}

# Whether a file has this mode and owner.
has_mode() {
    local found
    found=$(inside "stat --format '%a %U:%G' $1")
    [[ $found == "$2" ]] || fail "$1 is $found, not $2"
}

# Does a line again and again until it prints something, and shows what it printed then: until_it_says WORDS LINE.
until_it_says() {
    local said deadline=$((SECONDS + 120))
    until said=$(inside "$2" 2>&1) && [[ $said == *"$1"* ]]; do
        ((SECONDS < deadline)) || fail "$2 does not print $1: $said"
        sleep 1
    done
    printf '\n# %s\n%s\n' "$2" "$said"
}

page() {
    cat "$(dirname "$0")/../docs/$1"
}

# The first block of a page that is fenced as this language.
block() {
    page "$1" | awk -v fence="\`\`\`$2" '$0 == fence { is_in = 1; next } is_in && /^```$/ { exit } is_in'
}

# Does what a page has root do, in the section of this heading if one is given.
follow() {
    local lines line
    mapfile -t lines < <(page "$1" | awk -v wanted="${2:+## $2}" '
        /^## / { heading = $0 }
        /^```console$/ { is_in = wanted == "" || heading == wanted; next }
        /^```$/ { is_in = 0 }
        is_in && (goes_on ? sub(/^ +/, "") : sub(/^# /, "")) { goes_on = sub(/\\$/, ""); printf "%s%s", $0, goes_on ? "" : "\n" }')
    ((${#lines[@]})) || fail "$1 has nothing for root to do${2:+ in \"$2\"}"
    for line in "${lines[@]}"; do run "$line"; done
}

# What the package brings is where it belongs.
brings_all() {
    local file
    has_mode /usr/bin/plugd '755 root:root'
    has_mode /var/lib/plugd '700 plugd:plugd'
    has_mode /etc/plugd/plugd.toml '644 root:root'
    has_mode /etc/plugd/environment '600 root:root'
    for file in /usr/lib/systemd/system/plugd.service /usr/lib/sysusers.d/plugd.conf /usr/lib/tmpfiles.d/plugd.conf \
        /usr/share/bash-completion/completions/plugd /usr/share/zsh/vendor-completions/_plugd \
        /usr/share/fish/vendor_completions.d/plugd.fish /usr/share/man/man1/plugd.1.gz /usr/share/man/man1/plugd-serve.1.gz \
        $doc/copyright $doc/README.md $doc/alerts.yml $doc/grafana-dashboard.json $doc/install.md; do
        has_mode "$file" '644 root:root'
    done
    holds 'plugd --version'
    holds "grep -E '^ *complete .* plugd$' /usr/share/bash-completion/completions/plugd"
}

# Nothing is left of the package but what plugd stored.
is_purged() {
    holds 'test ! -e /etc/plugd -a -d /var/lib/plugd'
    holds '! find /etc/systemd /usr -name "*plugd*" | grep .'
}
