#!/usr/bin/env bash
# Does with the package what an operator does, on a Debian of its own with its own systemd, and looks at what it brings: installs it,
# starts plugd, has Prometheus tell of a plugin that crashes, backs up, restores, moves to PostgreSQL, upgrades, removes, purges; much
# of it as the pages say. Prints all of it as it would stand in a terminal. Needs root and debootstrap.
#
#   test-deb.sh PACKAGE FOLDER
#
# FOLDER has the Debian, which is made where there is none, and is kept for the next time.
set -euo pipefail

package=$1
base=$2/base
root=$2/root
# Beside the smallest Debian: what every machine has, what a plugin is written in, and what plugd is used with.
included=systemd,dbus,procps,iproute2,man-db,bash-completion,openssl,curl,python3,prometheus,postgresql
doc=/usr/share/doc/plugd

fail() {
    echo "test-deb: $*" >&2
    exit 1
}

if [[ $(cat "$base/.done" 2>/dev/null) != "$included" ]]; then
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include="$included" bookworm "$base"
    echo "$included" >"$base/.done"
fi
rm -rf "$root"
cp -a "$base" "$root"
# Debian's smallest images leave the manual out; this one is about it. And what apt prints goes into a file.
rm -f "$root/etc/dpkg/dpkg.cfg.d/"*
echo 'Dpkg::Use-Pty "0";' >"$root/etc/apt/apt.conf.d/no-terminal"
install -m 644 "$package" "$root/srv/plugd.deb"

"$(dirname "$0")/machine.sh" "$root" &
machine=$!
stop_machine() {
    kill -KILL "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
    rm -rf "$root"
    # The control groups of what has ended, the inner ones first.
    find "$(findmnt --noheadings --first-only --output TARGET --types cgroup2)/plugd-machine-$machine" \
        -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap stop_machine EXIT

# Does a line as root on the machine, without a word about it.
inside() {
    nsenter --target "$init" --all --wdns=/srv env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c "$1"
}

# Does a line as root, as in a terminal.
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

# The first block of a page that is fenced as this language.
block() {
    inside "cat $doc/$1" | awk -v fence="\`\`\`$2" '$0 == fence { is_in = 1; next } is_in && /^```$/ { exit } is_in'
}

# Does what a page has root do.
follow() {
    local lines line
    mapfile -t lines < <(inside "cat $doc/$1" | awk '/^```console$/ { is_in = 1; next } /^```$/ { is_in = 0 }
        is_in && (goes_on ? sub(/^ +/, "") : sub(/^# /, "")) { goes_on = sub(/\\$/, ""); printf "%s%s", $0, goes_on ? "" : "\n" }')
    for line in "${lines[@]}"; do run "$line"; done
}

init=
deadline=$((SECONDS + 60))
until init=$(pgrep --parent "$machine" --exact systemd) &&
    [[ $(inside 'systemctl is-system-running --wait' 2>/dev/null) =~ ^(running|degraded)$ ]]; do
    ((SECONDS < deadline)) || fail "the machine does not start"
    sleep 0.2
done

echo '== Install'
run 'apt-get install --yes --no-install-recommends ./plugd.deb'
run 'plugd --version'
has_mode /usr/bin/plugd '755 root:root'
has_mode /var/lib/plugd '700 plugd:plugd'
has_mode /etc/plugd/plugd.toml '644 root:root'
has_mode /etc/plugd/environment '600 root:root'
for file in /usr/lib/systemd/system/plugd.service /usr/lib/sysusers.d/plugd.conf /usr/lib/tmpfiles.d/plugd.conf \
    /usr/share/bash-completion/completions/plugd /usr/share/zsh/vendor-completions/_plugd \
    /usr/share/fish/vendor_completions.d/plugd.fish /usr/share/man/man1/plugd.1.gz /usr/share/man/man1/plugd-serve.1.gz \
    $doc/copyright $doc/README.md $doc/backup.md $doc/alerts.yml $doc/grafana-dashboard.json; do
    has_mode "$file" '644 root:root'
done
holds 'man --warnings=all --locale=C plugd-serve 2>&1 | grep data-dir'
holds '. /usr/share/bash-completion/completions/plugd && complete -p plugd'

echo $'\n== Start'
run 'systemctl enable --now plugd && systemctl is-active plugd'
has_mode /var/lib/plugd/admin.token '600 plugd:plugd'
run 'plugd health'
run 'plugd new hello --template python && plugd --data-dir /var/lib/plugd install hello --activate'
run 'plugd --data-dir /var/lib/plugd get hello'
run 'systemctl reload plugd && systemctl status --no-pager --lines 3 plugd'

echo $'\n== A certificate'
run 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=plugd -keyout plugd.key -out plugd.pem'
follow certificates.md
has_mode /var/lib/plugd/tls/key.pem '600 plugd:plugd'

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
# A setting that was changed outlives an upgrade, and a removal.
run "echo '# mine' >>/etc/plugd/plugd.toml"
run 'mv plugd.deb plugd_0.2.0-1_amd64.deb'
follow upgrade.md
# It is the same one, which apt does not take without a word.
run 'apt-get install --yes --no-install-recommends --reinstall ./plugd_0.2.0-1_amd64.deb'
holds "grep '# mine' /etc/plugd/plugd.toml"
run 'plugd health'
run 'apt-get remove --yes plugd'
holds 'test ! -e /usr/bin/plugd -a -e /etc/plugd/plugd.toml'
holds '! systemctl is-active plugd'
run 'apt-get purge --yes plugd'
holds 'test ! -e /etc/plugd'
has_mode /var/lib/plugd/admin.token '600 plugd:plugd'
printf '\ntest-deb: %s holds what it promises\n' "${package##*/}"
