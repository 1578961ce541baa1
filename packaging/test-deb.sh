#!/usr/bin/env bash
# Installs the package into a Debian of its own, looks at what it brings, and purges it. Needs root and debootstrap.
#
#   test-deb.sh PACKAGE FOLDER
#
# FOLDER has the Debian, which is made where there is none, and is kept for the next time.
set -euo pipefail

# What is mounted for the Debian is seen by nobody else, and goes with this.
if [[ ${APART:-} != yes ]]; then
    APART=yes exec unshare --mount --propagation private "$0" "$@"
fi
package=$1
base=$2/base
root=$2/root

fail() {
    echo "test-deb: $*" >&2
    exit 1
}

# Whether a file has this mode and owner.
holds() {
    local found
    found=$(chroot "$root" stat --format '%a %U:%G' "$1")
    [[ $found == "$2" ]] || fail "$1 is $found, not $2"
}

# A list, so that what is run in the background is the program itself.
inside=(chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
as_plugd=("${inside[@]}" setpriv --reuid=plugd --regid=plugd --clear-groups --)

if [[ ! -e $base/.done ]]; then
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=systemd,man-db,bash-completion bookworm "$base"
    touch "$base/.done"
fi
rm -rf "$root"
cp -a "$base" "$root"
# Debian's smallest images leave the manual out; this one is about it.
rm -f "$root/etc/dpkg/dpkg.cfg.d/"*
install -m 644 "$package" "$root/tmp/plugd.deb"
mount -t proc proc "$root/proc"

"${inside[@]}" apt-get install --yes --no-install-recommends /tmp/plugd.deb
[[ $("${inside[@]}" plugd --version) == "plugd "* ]] || fail "plugd does not say its version"
holds /usr/bin/plugd '755 root:root'
holds /var/lib/plugd '700 plugd:plugd'
holds /etc/plugd/plugd.toml '644 root:root'
holds /etc/plugd/environment '600 root:root'
for file in /usr/lib/systemd/system/plugd.service /usr/lib/sysusers.d/plugd.conf /usr/lib/tmpfiles.d/plugd.conf \
    /usr/share/bash-completion/completions/plugd /usr/share/zsh/vendor-completions/_plugd \
    /usr/share/fish/vendor_completions.d/plugd.fish /usr/share/man/man1/plugd.1.gz /usr/share/man/man1/plugd-serve.1.gz \
    /usr/share/doc/plugd/copyright /usr/share/doc/plugd/README.md /usr/share/doc/plugd/backup.md; do
    holds "$file" '644 root:root'
done
"${inside[@]}" man --warnings=all --locale=C plugd-serve 2>&1 | grep --quiet 'data-dir' || fail "the manual is not there"
"${inside[@]}" bash -c '. /usr/share/bash-completion/completions/plugd && complete -p plugd' || fail "bash has no completions"
"${inside[@]}" systemd-analyze verify --man=no plugd.service || fail "systemd does not take the unit"

# As the unit runs it, but for systemd, which can't run in here.
"${as_plugd[@]}" plugd serve --config /etc/plugd/plugd.toml --print-config | grep --quiet 'data_dir = "/var/lib/plugd"'
touch "$root/tmp/said"
"${as_plugd[@]}" plugd serve --config /etc/plugd/plugd.toml --listen 127.0.0.1:0 --runtime-provider none \
    2>"$root/tmp/said" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
timeout 60 grep --quiet 'plugd serves on' <(tail --follow --lines=+1 --pid="$server" "$root/tmp/said") ||
    fail "it does not serve: $(cat "$root/tmp/said")"
holds /var/lib/plugd/admin.token '600 plugd:plugd'
"${as_plugd[@]}" plugd backup --config /etc/plugd/plugd.toml /var/lib/plugd/test.backup
kill "$server"
wait "$server" || fail "it did not stop well"
trap - EXIT

# A setting that was changed outlives an upgrade, and a removal.
echo '# mine' >>"$root/etc/plugd/plugd.toml"
"${inside[@]}" apt-get install --yes --no-install-recommends --reinstall /tmp/plugd.deb
grep --quiet '# mine' "$root/etc/plugd/plugd.toml" || fail "a setting was lost"
"${inside[@]}" apt-get remove --yes plugd
[[ ! -e $root/usr/bin/plugd && -e $root/etc/plugd/plugd.toml ]] || fail "to remove it is not to remove it"
"${inside[@]}" apt-get purge --yes plugd
[[ ! -e $root/etc/plugd ]] || fail "a setting outlived the purge"
holds /var/lib/plugd/admin.token '600 plugd:plugd'
[[ $("${inside[@]}" dpkg-query --show --showformat '${Status}' plugd 2>/dev/null || true) != *installed ]] || fail "it is still there"
umount "$root/proc"
rm -rf "$root"
echo "test-deb: $package holds what it promises"
