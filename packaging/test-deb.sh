#!/usr/bin/env bash
# Does with the package what an operator does, on a Debian of its own with its own systemd, and looks at what it brings: installs it,
# starts plugd, has Prometheus tell of a plugin that crashes, backs up, restores, moves to PostgreSQL, upgrades, removes, purges; much
# of it as the pages say. Prints all of it as it would stand in a terminal. Needs root and debootstrap.
#
#   test-deb.sh PACKAGE FOLDER
#
# FOLDER has the Debian, which is made where there is none, and is kept for the next time.
set -euo pipefail
source "$(dirname "$0")/try.sh"

take_arguments "$@"
root=$folder/root
# Beside the smallest Debian: what every machine has, what a plugin is written in, and what plugd is used with.
included=systemd,dbus,procps,iproute2,ca-certificates,man-db,bash-completion,openssl,curl,python3,prometheus,postgresql,nginx,caddy

copy_of_debian "$folder" "$included"
install -D -m 644 "$package" "$root/srv/target/debian/${package##*/}"
# The version that the page has for the next one.
dpkg-deb --raw-extract "$package" "$root/srv/newer"
sed -i 's/^Version: .*/Version: 0.2.0-1/' "$root/srv/newer/DEBIAN/control"
dpkg-deb -Zgzip -z1 --build "$root/srv/newer" "$root/srv/plugd_0.2.0-1_amd64.deb"
echo 127.0.0.1 plugd.example >>"$root/etc/hosts"
# Who edits a file on this machine adds a line to it.
install -m 755 /dev/stdin "$root/usr/bin/editor" <<<$'#!/bin/sh\necho "# mine" >>"$1"'

"$(dirname "$0")/machine.sh" "$root" &
machine=$!
stop_machine() {
    kill -KILL "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
    remove "$root"
    # The control groups of what has ended, the inner ones first.
    find "$(findmnt --noheadings --first-only --output TARGET --types cgroup2)/plugd-machine-$machine" \
        -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap stop_machine EXIT

inside() {
    as_root nsenter --target "$init" --all --wdns=/srv bash -euo pipefail -c "$1"
}

init=
deadline=$((SECONDS + 60))
until init=$(pgrep --parent "$machine" --exact systemd) &&
    [[ $(inside 'systemctl is-system-running --wait' 2>/dev/null) =~ ^(running|degraded)$ ]]; do
    ((SECONDS < deadline)) || fail "the machine does not start"
    sleep 0.2
done

# plugd answers by the proxy's name.
through_proxy() {
    until_it_says active 'plugd --server https://plugd.example --cacert plugd.pem --token "$(cat /var/lib/plugd/admin.token)" list'
}

echo '== Install and start'
follow install.md 'As a service: the package for Debian and Ubuntu'
brings_all
holds 'man --warnings=all --locale=C plugd-serve 2>&1 | grep data-dir'
holds '. /usr/share/bash-completion/completions/plugd && complete -p plugd'
has_mode /var/lib/plugd/admin.token '600 plugd:plugd'
run 'plugd health'
run 'plugd new hello --template python && plugd --data-dir /var/lib/plugd install hello --activate'
run 'plugd --data-dir /var/lib/plugd get hello'
run 'systemd-analyze verify plugd.service'
run 'systemctl status --no-pager --lines 3 plugd'

echo $'\n== A certificate'
run 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=plugd.example \
    -addext subjectAltName=DNS:plugd.example -keyout plugd.key -out plugd.pem'
follow certificates.md
has_mode /var/lib/plugd/tls/key.pem '600 plugd:plugd'

echo $'\n== Behind a proxy'
# Both of them want port 80 for what they have of their own.
run 'systemctl stop caddy && systemctl restart nginx'
block reverse-proxy.md nginx | inside 'cat >/etc/nginx/conf.d/plugd.conf'
follow reverse-proxy.md 'nginx'
through_proxy
run 'systemctl stop nginx && systemctl start caddy'
block reverse-proxy.md caddyfile | inside 'cat >/etc/caddy/Caddyfile'
follow reverse-proxy.md 'Caddy'
through_proxy
run 'systemctl stop caddy'

echo $'\n== Scrape'
{
    echo 'global: { scrape_interval: 1s, evaluation_interval: 1s }'
    block prometheus.md yaml
} | inside 'cat >/etc/prometheus/prometheus.yml'
run 'cat /etc/prometheus/prometheus.yml'
follow prometheus.md
until_it_says plugd_plugin_info 'promtool query instant http://127.0.0.1:9090 plugd_plugin_info'

echo $'\n== An alert fires on a crash loop'
run 'mkdir crashing && cat >crashing/manifest.json <<<'\''
    {"id": "crashing", "author": "me", "name": "Crashing", "command": "sh", "args": ["-c", "echo oh no; exit 1"]}'\'
run 'plugd --data-dir /var/lib/plugd install crashing && plugd --data-dir /var/lib/plugd activate --no-wait crashing'
until_it_says PlugdPluginCrashLoop "promtool query instant http://127.0.0.1:9090 'ALERTS{alertstate=\"firing\"}'"
run 'plugd --data-dir /var/lib/plugd list'

echo $'\n== Back up, and restore into a new data folder'
follow backup.md
until_it_says active 'plugd --data-dir /var/lib/plugd list'

echo $'\n== Move to PostgreSQL'
block postgresql.md sql | inside 'cat >plugd.sql'
run 'cat plugd.sql && runuser -u postgres -- psql --quiet <plugd.sql'
run 'systemctl stop plugd'
database=postgres://plugd:PASSWORD@127.0.0.1/plugd
run "systemd-run --wait --pipe --uid plugd --setenv PLUGD_MIGRATE_TO=$database plugd migrate --config /etc/plugd/plugd.toml"
run "echo PLUGD_DATABASE_URL=$database >>/etc/plugd/environment && systemctl start plugd"
until_it_says active 'plugd --data-dir /var/lib/plugd list'
run "runuser -u postgres -- psql plugd --command 'select name, version, mode, active from plugin order by name'"

echo $'\n== Upgrade, remove, purge'
follow upgrade.md
holds "dpkg --status plugd | grep '^Version: 0.2.0-1'"
# What was changed in a setting outlives it.
holds "grep '# mine' /etc/plugd/plugd.toml"
until_it_says active 'plugd --data-dir /var/lib/plugd list'
run 'apt-get remove --yes plugd'
holds 'test ! -e /usr/bin/plugd -a -e /etc/plugd/plugd.toml'
holds '! systemctl is-active plugd'
run 'apt-get purge --yes plugd'
is_purged
has_mode /var/lib/plugd/admin.token '600 plugd:plugd'

printf '\n%s: %s holds what it promises\n' "${0##*/}" "${package##*/}"
