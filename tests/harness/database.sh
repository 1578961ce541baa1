#!/usr/bin/env bash
# A database server for tests, in a folder of its own, reached by a socket there and by nothing else.
#
#   database.sh postgres|mysql FOLDER
#
# Says "ready" when it serves. Reads commands: "stop" and "start", each answered with a line. It ends, and takes the
# server and the folder with it, when there are no more: so nothing outlives the tests, however they end.
set -euo pipefail
kind=$1 folder=$2
PATH="$PATH:/usr/sbin:$(printf '%s:' /usr/lib/postgresql/*/bin)"
log=$folder/log
as_owner=()
server=

prepare_postgres() {
    # It refuses to be run by root.
    if [[ $(id -u) == 0 ]]; then
        as_owner=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
        chown postgres "$folder"
    fi
    "${as_owner[@]}" initdb --pgdata="$folder/data" --username=admin --auth=trust --no-sync --locale=C --encoding=UTF8
    "${as_owner[@]}" tee "$folder/data/pg_hba.conf" <<<$'local all admin trust\nlocal all all scram-sha-256'
}

start_postgres() {
    local options="-k $folder -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=32MB"
    "${as_owner[@]}" pg_ctl --pgdata="$folder/data" --log="$log" --wait --options="$options" start
}

stop_postgres() {
    "${as_owner[@]}" pg_ctl --pgdata="$folder/data" --mode=immediate stop
}

prepare_mysql() {
    mariadb-install-db --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal \
        --skip-test-db --user="$(id -un)" --innodb-log-file-size=8M
}

start_mysql() {
    : >"$log"
    mariadbd --no-defaults --datadir="$folder/data" --socket="$folder/mysql.sock" --skip-networking \
        --user="$(id -un)" --innodb-flush-log-at-trx-commit=2 --innodb-log-file-size=8M \
        --innodb-buffer-pool-size=32M --max-connections=200 >"$log" 2>&1 &
    server=$!
    grep --quiet 'ready for connections' < <(tail --lines=+1 --follow --pid="$server" "$log")
}

stop_mysql() {
    kill -KILL $server
    wait $server || true
}

# Only answers go to standard output.
exec 3>&1 4>&2 1>>"$folder/setup" 2>&1
end() {
    local status=$?
    if [[ $status != 0 ]]; then
        tail -v --lines=20 "$folder/setup" "$log" >&4
    fi
    "stop_$kind" || true
    rm -rf "$folder"
}
trap end EXIT
"prepare_$kind"
"start_$kind"
echo ready >&3
while read -r command; do
    "${command}_$kind"
    echo "$command" >&3
done
