#!/usr/bin/env bash
# Builds the deb and the rpm of one binary.
#
#   packages.sh BINARY ARCH VERSION DIRECTORY
#
# ARCH is Go's name, such as amd64; VERSION is a semantic version, such as 0.1.0.
# SOURCE_DATE_EPOCH is the time of all files; the same input gives the same packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

export BINARY=$1 ARCH=$2 VERSION=$3 WORK
out=$4
mkdir -p "$out"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
gzip -9n <deploy/manual/resp-exporter.1 >"$WORK/resp-exporter.1.gz"
for kind in deb rpm; do
	go tool -modfile=tools/nfpm/go.mod nfpm package --config deploy/package/nfpm.yaml --packager "$kind" --target "$out/"
done
