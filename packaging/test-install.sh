#!/usr/bin/env bash
# Installs, removes and purges the package in a folder with the smallest Debian that has what it needs, and looks at what is there
# then; and installs plugd without the package, as docs/install.md says. Nothing is started: test-deb.sh does that. Needs root and debootstrap.
#
#   test-install.sh PACKAGE FOLDER
#
# FOLDER has the Debian, which is made where there is none, and is kept for the next time.
set -euo pipefail
source "$(dirname "$0")/try.sh"

take_arguments "$@"
root=$folder/root
# What the package depends on, as nothing is fetched here.
included=systemd,procps,ca-certificates
trap 'remove "$root"' EXIT

inside() {
    # With processes of its own, no network, and a systemctl that knows that nothing is booted.
    as_root SYSTEMD_OFFLINE=1 unshare --mount --pid --fork --kill-child --net --root="$root" --mount-proc=/proc --wd=/srv \
        bash -euo pipefail -c "$1"
}

copy_of_debian "$folder" "$included"
install -m 644 "$package" "$root/srv/plugd.deb"

echo '== Install'
run 'apt-get install ./plugd.deb'
brings_all
run 'systemd-analyze verify --man=no /usr/lib/systemd/system/plugd.service'
run 'systemctl enable plugd'
run "echo '# mine' >>/etc/plugd/plugd.toml"
run 'apt-get install --reinstall ./plugd.deb'
holds "grep '# mine' /etc/plugd/plugd.toml"

echo $'\n== Remove, purge'
run 'apt-get remove --yes plugd'
holds 'test ! -e /usr/bin/plugd -a -e /etc/plugd/plugd.toml'
run 'apt-get purge --yes plugd'
is_purged

echo $'\n== Install without the package'
rm -rf "$root/etc/plugd" "$root/var/lib/plugd"
install -d "$root/srv/packaging"
dpkg-deb --fsys-tarfile "$package" | tar --extract --file - --directory "$root/srv" --strip-components 3 ./usr/bin/plugd
install -D "$root/srv/plugd" "$root/srv/target/release/plugd"
cp "$(dirname "$0")"/{plugd.*,environment} "$root/srv/packaging/"
follow install.md 'As a service, without the package'
holds 'plugd --version'
has_mode /var/lib/plugd '700 plugd:plugd'
has_mode /etc/plugd/environment '600 root:root'
run 'systemctl enable plugd'

printf '\n%s: %s holds what it promises\n' "${0##*/}" "${package##*/}"
