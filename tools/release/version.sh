#!/usr/bin/env bash
# Prints the version of this tree: of a tag v1.2.3 "1.2.3", otherwise the next one of
# the file VERSION with the time and the id of the commit, which sorts before it.
set -euo pipefail
export TZ=UTC
cd "$(dirname "$0")/../.."

if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null) && git diff --quiet HEAD; then
	echo "${tag#v}"
elif commit=$(git log -1 --format='%cd+%h' --date=format-local:%Y%m%d%H%M 2>/dev/null); then
	echo "$(cat VERSION)-dev.$commit"
else
	echo "$(cat VERSION)-dev"
fi
