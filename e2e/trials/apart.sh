#!/usr/bin/env bash
# Runs a program in its own PID and network namespaces, with loopback up, so that
# other processes and sockets of the machine do not influence the results. All
# processes that it started end with it. It needs root.
#
# Bash stays process 1 and does not exec the program (which it would do with the
# last command): it reaps orphans, so that thousands of ended processes of one
# round do not remain as zombies in the next.
#
#   e2e/trials/apart.sh PROGRAM [ARGUMENT…]
set -euo pipefail
[ "$(id -u)" -eq 0 ] || { echo "apart: namespaces need root" >&2; exit 2; }
exec unshare --net --pid --fork --mount-proc --kill-child -- bash -c 'ip link set lo up && "$@"; exit $?' apart "$@"
