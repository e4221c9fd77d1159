#!/usr/bin/env bash
# Runs the tests of fixed faults against an older build of the exporter, and prints
# which of them fail there; each must fail.
#
#   e2e/regress.sh OLD_BINARY [PATTERN]
#
# OLD_BINARY is a build of a version that has the faults. PATTERN is a regular
# expression that selects lines of regress.txt. Exit code 0: each listed test failed.
set -euo pipefail
cd "$(dirname "$0")"
old=$(realpath "${1:?usage: e2e/regress.sh OLD_BINARY [PATTERN]}")
pattern=${2:-.}
test -x "$old" || { echo "regress: $old is not a program" >&2; exit 2; }
logs=$(mktemp -d)
echo "regress: logs are in $logs"
go test -c -o "$logs/e2e.test" .
held=0 failed=0
while read -r issue name; do
	if RESP_EXPORTER_BINARY=$old "$logs/e2e.test" -test.run "^$name\$" -test.timeout 10m </dev/null >"$logs/$name.log" 2>&1; then
		echo "holds on the old build, so it shows nothing: $issue $name"
		held=$((held + 1))
	elif ! grep -q "^ *--- FAIL: $name" "$logs/$name.log"; then
		echo "did not run: $issue $name (see $logs/$name.log)"
		held=$((held + 1))
	else
		echo "fails on the old build: $issue $name"
		failed=$((failed + 1))
	fi
done < <(grep -vE '^(#|$)' regress.txt | grep -E "$pattern")
echo "regress: $failed failed there as they must, $held did not"
test "$held" -eq 0
