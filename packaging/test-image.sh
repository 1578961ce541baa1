#!/usr/bin/env bash
# Builds the image and starts it with the compose file, as docs/install.md says, and looks at what that gives: a plugd that is healthy,
# is shut in as far as a container allows, and has its records still after it was stopped. Needs root and Docker.
set -euo pipefail
cd "$(dirname "$0")/.."
source packaging/try.sh

# In a terminal: some versions of Compose need one.
inside() {
    SHELL=/bin/bash script --quiet --return --command "set -euo pipefail; $1" /dev/null
}

# A project of its own, also for the lines of the page: what is removed in the end is never an operator's. Nor is an operator's
# database used, which the environment or a file `.env` may name.
export COMPOSE_PROJECT_NAME=plugd-test-$$ COMPOSE_DISABLE_ENV_FILE=1
unset PLUGD_DATABASE_URL
if (: <>/dev/tcp/127.0.0.1/8000) 2>/dev/null; then
    fail 'port 8000 of 127.0.0.1 is taken, which the compose file gives plugd: stop what listens there first'
fi

compose='docker compose --file packaging/compose.yaml'
trap '$compose down --volumes' EXIT

follow install.md 'In a container'
container=$($compose ps --quiet plugd)
holds "docker inspect --format '{{.State.Health.Status}} {{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' \
    $container | grep 'healthy 10001:10001 true \[ALL\]'"
run 'curl --fail --silent --show-error http://127.0.0.1:8000/healthz'
# A plugin that never connects, which is enough to see how it is shut in.
run "$compose exec plugd sh -c \"mkdir /tmp/waiting && cd /tmp/waiting && \
    printf '%s\n' 'id: waiting' 'author: me' 'name: Waiting' 'command: sleep' 'args: [infinity]' >manifest.yaml && \
    plugd install . && plugd activate --no-wait waiting\""
until_it_says protect_files_only "$compose exec plugd plugd get waiting"

run "$compose stop"
[[ $(docker inspect --format '{{.State.ExitCode}}' "$container") == 0 ]] || fail 'plugd was killed, not stopped'
run "$compose start"
until_it_says Waiting "$compose exec plugd plugd list"

printf '\n%s: the image holds what it promises\n' "${0##*/}"
