#!/usr/bin/env bash
# Builds the exporters of peers.txt into a directory, each in its pinned version, and
# not again what is there in that version. A module whose checksum is not the pinned
# one is not built.
#
# It builds in a copy of the module and not by `go install`, which uses neither the
# go.sum of a module nor any replacement in its go.mod.
#
#   peers.sh DIRECTORY
set -euo pipefail

if [ $# -ne 1 ]; then
	echo "usage: peers.sh DIRECTORY" >&2
	exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
list=$(cd "$(dirname "$0")" && pwd)/peers.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # in no module

while read -r program module version directory sum; do
	case $program in '' | '#'*) continue ;; esac
	if [ -x "$out/$program" ] && [ "$(cat "$out/$program.sum" 2>/dev/null)" = "$version $sum" ]; then
		continue
	fi
	got=$(go mod download -json "$module@$version" </dev/null)
	field() { sed -nE "s/^\t\"$1\": \"([^\"]*)\".*/\1/p" <<<"$got"; }
	if [ "$(field Sum)" != "$sum" ]; then
		echo "peers: $module@$version has the checksum $(field Sum), not $sum" >&2
		exit 1
	fi
	echo "peers: building $program $version"
	cp -r "$(field Dir)" "$work/$program"
	chmod -R u+w "$work/$program"
	(cd "$work/$program" && CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath -mod=readonly" GOWORK=off \
		go build -buildvcs=false -ldflags '-s -w' -o "$out/$program" "$directory" </dev/null)
	echo "$version $sum" >"$out/$program.sum"
done <"$list"
