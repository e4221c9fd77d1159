#!/usr/bin/env bash
# Runs each fuzz target of the module with 15,000 inputs, or with the number or
# duration of the argument (20000x, 1m). Go runs one target at a time, so they are
# listed first.
set -euo pipefail
cd "$(dirname "$0")/../.."
budget=${1:-15000x}
found=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$budget" "$1" 2>&1 | tee "$log"; }

# At the end of its time Go's coordinator can take its own deadline for a fault
# (golang/go#75804): it then names no input and no panic, only the deadline.
raced() { grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input|panic|_test\.go:' "$log"; }

for pkg in $(go list ./...); do
	listed=$(go test -list '^Fuzz' "$pkg")
	for target in $listed; do
		case $target in Fuzz*) ;; *) continue ;; esac
		found=$((found + 1))
		echo "fuzz $pkg $target"
		fuzz "$pkg" "$target" || { raced && echo "once more: Go's own deadline was taken for a fault" && fuzz "$pkg" "$target"; }
	done
done
echo "$found fuzz targets ran, $budget each"
