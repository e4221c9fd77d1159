#!/usr/bin/env bash
# Runs each fuzz target of the module for the given time (5s without one). Go
# runs one target at a time, so they are listed first.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-5s}
found=0
for pkg in $(go list ./...); do
	listed=$(go test -list '^Fuzz' "$pkg")
	for target in $listed; do
		case $target in Fuzz*) ;; *) continue ;; esac
		found=$((found + 1))
		echo "fuzz $pkg $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg"
	done
done
echo "$found fuzz targets ran for $time each"
