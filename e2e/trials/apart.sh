#!/usr/bin/env bash
# Runs a program in PID and network namespaces of its own, with loopback up, so
# that other processes and sockets of the machine neither cost nor count. All
# that it started ends with it. It needs root.
#
# Bash stays process 1 and does not become the program (which it would as the last
# command): it waits for what others leave behind, so that thousands of ended
# processes of one round are not among those of the next.
#
#   e2e/trials/apart.sh PROGRAM [ARGUMENT…]
set -euo pipefail
[ "$(id -u)" -eq 0 ] || { echo "apart: namespaces need root" >&2; exit 2; }
exec unshare --net --pid --fork --mount-proc --kill-child -- bash -c 'ip link set lo up && "$@"; exit $?' apart "$@"
