#!/usr/bin/env bash
# Runs each fuzz target of the module with 15,000 inputs, or with the number or
# duration of the argument (20000x, 1m). `go test -fuzz` links the program of a package
# again for each target: here it is built once. As many packages as there are processors
# are fuzzed at a time, one process each.
set -euo pipefail
cd "$(dirname "$0")/../.."
export budget=${1:-15000x} module
module=$(go list -m)
export cache work
cache=$(go env GOCACHE)/fuzz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fuzz runs one target of a package. Inputs that fail are written below the package, those
# that reach more code into Go's cache. By default Go tries for up to a minute to shorten
# each of these, and counts what it tries among the inputs.
fuzz() {
	(cd "$1" && "$work/$2.test" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$budget" -test.fuzzminimizetime 100x \
		-test.parallel 1 -test.fuzzcachedir "$cache/$module/$1") >"$work/$2.log" 2>&1
}

# At the end of its time Go's coordinator can take its own deadline for a fault
# (golang/go#75804): it then names no input and no panic, only the deadline.
raced() { grep -q '^    context deadline exceeded$' "$1" && ! grep -qE 'Failing input|panic|_test\.go:' "$1"; }

# package fuzzes the targets of the package in a directory, and shows each with the end of
# its output, or with all of it where it failed.
package() {
	local name=${1//\//-} target
	go test -c -fuzz . -o "$work/$name.test" "./$1"
	for target in $("$work/$name.test" -test.list '^Fuzz'); do
		case $target in Fuzz*) ;; *) continue ;; esac
		if ! fuzz "$1" "$name" "$target" && ! { raced "$work/$name.log" && fuzz "$1" "$name" "$target"; }; then
			echo "FAIL $1 $target"$'\n'"$(cat "$work/$name.log")"
			return 1
		fi
		echo "fuzz $1 $target: $(grep '^fuzz: ' "$work/$name.log" | tail -n 1)" | tee -a "$work/ran"
	done
}

export -f fuzz raced package
grep -rl --include='*_test.go' '^func Fuzz' cmd collectors grafana internal tools | xargs -n 1 dirname | sort -u >"$work/packages"
xargs -a "$work/packages" -P "$(nproc)" -I '{}' bash -euo pipefail -c 'package "{}"'
echo "$(wc -l <"$work/ran") fuzz targets ran, $budget each"
