#!/usr/bin/env bash
# Runs tests, by default the unit tests, as on a busy machine that booted a minute
# ago: in a time namespace that booted AGE seconds ago, and in its own PID
# namespace, whose pid 1 is equally young. Builds and module caches are those of
# the host.
#
#   e2e/trials/young.sh [-age SECONDS] [-busy LOOPS] [-in DIRECTORY] [ARGUMENT…]
#
# AGE is 60 by default. LOOPS is the number of processes that only use CPU, for at
# most ten minutes; 0 by default. The arguments are those of go test, ./... by
# default; with -in e2e they are for that module, as in: -in e2e -run '^TestRestart' .
# It needs root, and a kernel with time namespaces (5.6). Exit code and output
# are those of go test.
set -euo pipefail
cd "$(dirname "$0")/../.."
age=60 busy=0
while [ $# -gt 0 ]; do
	case $1 in
	-age) age=${2:?-age wants seconds}; shift 2 ;;
	-in) cd "${2:?-in wants a directory}"; shift 2 ;;
	-busy) busy=${2:?-busy wants a number}; shift 2 ;;
	*) break ;;
	esac
done
[ "$(id -u)" -eq 0 ] || { echo "young: namespaces need root" >&2; exit 2; }
[ -e /proc/self/ns/time ] || { echo "young: this kernel has no time namespaces" >&2; exit 2; }
[ $# -gt 0 ] || set -- ./...
# Compile first, so that the time of the builds does not count.
go test "$@" -run '^$' >/dev/null

# Both clocks are set back, because times of one are compared with the other.
back() { echo $((age - $(awk -v clock="$1" '$1 == clock {print int($2)}' <<<"$clocks"))); }
clocks=$(python3 -c 'import time
print("monotonic", time.clock_gettime(time.CLOCK_MONOTONIC))
print("boottime", time.clock_gettime(time.CLOCK_BOOTTIME))')
exec unshare --time --monotonic "$(back monotonic)" --boottime "$(back boottime)" --pid --fork --mount-proc --kill-child \
	bash -c '
		echo "young: booted $(cut -d" " -f1 /proc/uptime) s ago, pid 1 is $(cat /proc/1/comm), $1 busy loops"
		for ((i = 0; i < $1; i++)); do timeout 600 sh -c "while :; do :; done" & done
		shift
		code=0
		go test -count=1 "$@" || code=$?
		echo "young: load $(cut -d" " -f1-3 /proc/loadavg)"
		kill $(jobs -p) 2>/dev/null || true
		exit $code
	' young "$busy" "$@"
