#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scene.sh BACKEND: agent and client end to end inside of the guest. Push, pull, kill -9 under load, restart, and what must be
# there afterwards. Every command has a deadline; the first that goes wrong ends the scene.
set -u
BACKEND=$1
ROOT=/data/store-$BACKEND
FILES=/data/files-$BACKEND
case $BACKEND in
    posix) ADDRESS=127.0.0.1:18517 ;;
    *) ADDRESS=127.0.0.1:18518 ;;
esac
LOG=/data/agent-$BACKEND.log
AGENT=

fail() {
    echo "scene $BACKEND: FAILED: $*"
    tail -n 40 "$LOG"
    [ -z "$AGENT" ] || kill -9 "$AGENT"
    exit 1
}

client() { timeout -k 2 60 bluecache -d "$ADDRESS" --timeout 30 "$@"; }

pushes() { client stats | awk '$1 == "pushes_total" { print $2 }'; }

start_agent() {
    dpu_dma_copy -T --listen "$ADDRESS" -b "$BACKEND" --root "$ROOT" -m 128 --capacity 96M --workers 2 >>"$LOG" 2>&1 &
    AGENT=$!
    tries=0
    until client ping -c 1 >/dev/null 2>&1; do
        kill -0 "$AGENT" 2>/dev/null || fail "the agent ended at its start"
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || fail "the agent does not answer"
        usleep 200000
    done
}

kill_agent() {
    kill -9 "$AGENT"
    wait "$AGENT" 2>/dev/null
    AGENT=
}

pull_all() {
    for size in 1 4096 65537 3145729; do
        client pull "file-$size" "$FILES/pulled" || fail "pull of file-$size"
        cmp "$FILES/$size" "$FILES/pulled" || fail "file-$size came back with other bytes"
        rm "$FILES/pulled"
    done
}

push_all() {
    for size in 1 4096 65537 3145729; do
        client push "file-$size" "$FILES/$size" || fail "push of file-$size"
    done
}

mkdir -p "$FILES" "$ROOT"
for size in 1 4096 65537 3145729; do
    [ -f "$FILES/$size" ] || head -c "$size" /dev/urandom >"$FILES/$size"
done

echo "scene $BACKEND: push and pull"
start_agent
push_all
pull_all
client bench --op both --size 256K --batch 4 --depth 2 --count 8 --verify || fail "bench --verify"

echo "scene $BACKEND: kill -9 under load"
client bench --op push --size 256K --batch 4 --depth 2 --fresh --seconds 30 >"$FILES/load" 2>&1 &
load=$!
# The load has begun: requests of it are done, and others under way.
tries=0
before=$(pushes)
until [ "$(pushes)" -ge $((before + 4)) ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || fail "the load does not begin"
    usleep 100000
done
kill_agent
wait "$load"
rc=$?
[ "$rc" -eq 1 ] || [ "$rc" -eq 3 ] || fail "the load ended with status $rc when its agent died"

echo "scene $BACKEND: after the restart"
start_agent
if [ "$BACKEND" = posix ]; then
    client query file-1 file-4096 file-65537 file-3145729 || fail "the index did not survive"
    pull_all
else
    client query file-1 && fail "dram has objects of an agent that died"
    push_all
    pull_all
fi
client remove file-1 || fail "remove"
client query file-1 && fail "file-1 is there after its removal"

echo "scene $BACKEND: an end that was asked for"
kill -TERM "$AGENT"
tries=0
while kill -0 "$AGENT" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || fail "the agent does not end"
    usleep 100000
done
wait "$AGENT"
rc=$?
[ "$rc" -eq 0 ] || fail "the agent ended with status $rc"
echo "scene $BACKEND: passed"
