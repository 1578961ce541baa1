#!/usr/bin/env bash
# A PostgreSQL server for tests, in a folder of its own, reached by a socket there and by nothing else.
#
#   database.sh FOLDER
#
# Says "ready" when it serves. Reads commands: "stop" and "start", each answered with a line. It ends, and takes the
# server and the folder with it, when there are no more: so nothing outlives the tests, however they end.
set -euo pipefail
folder=$1
PATH="$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)"
log=$folder/log
as_owner=()

prepare() {
    # It refuses to be run by root.
    if [[ $(id -u) == 0 ]]; then
        as_owner=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
        chown postgres "$folder"
    fi
    "${as_owner[@]}" initdb --pgdata="$folder/data" --username=admin --auth=trust --no-sync --locale=C --encoding=UTF8
    "${as_owner[@]}" tee "$folder/data/pg_hba.conf" <<<$'local all admin trust\nlocal all all scram-sha-256'
}

start() {
    local options="-k $folder -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=32MB"
    "${as_owner[@]}" pg_ctl --pgdata="$folder/data" --log="$log" --wait --options="$options" start
}

stop() {
    "${as_owner[@]}" pg_ctl --pgdata="$folder/data" --mode=immediate stop
}

# Only answers go to standard output.
exec 3>&1 4>&2 1>>"$folder/setup" 2>&1
end() {
    local status=$?
    if [[ $status != 0 ]]; then
        tail -v --lines=20 "$folder/setup" "$log" >&4
    fi
    stop || true
    rm -rf "$folder"
}
trap end EXIT
prepare
start
echo ready >&3
while read -r command; do
    "$command"
    echo "$command" >&3
done
