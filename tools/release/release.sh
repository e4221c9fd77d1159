#!/usr/bin/env bash
# Builds what a release consists of, for linux/amd64 and linux/arm64:
#
#   release.sh VERSION DIRECTORY
#
# a tarball, a deb, an rpm and a CycloneDX SBOM of each, and sha256sums.txt. VERSION
# is a semantic version, such as 0.1.0. ARCHS="amd64" builds fewer. BUILD_USER is who
# built it. All files have the time of the commit (or SOURCE_DATE_EPOCH): the same
# commit, version, user and Go give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$1
out=$2
user=${BUILD_USER:-$(id -un)@$(hostname)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
branch=v$version # not the branch that is checked out: the same commit may be on several
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d-%H:%M:%S)
package=github.com/prometheus/common/version
flags="-s -w -X $package.Version=$version -X $package.Revision=$revision -X $package.Branch=$branch -X $package.BuildUser=$user -X $package.BuildDate=$date"

# tarball PROGRAM ARCH: what a host without a package manager needs.
tarball() {
	local name=resp-exporter-$version.linux-$2 tree
	tree=$work/$name
	mkdir -p "$tree"/{systemd,completions,rules,dashboards,sql}
	install -m 0711 "$1" "$tree/resp-exporter"
	install -m 0644 LICENSE CHANGELOG.md docs/resp-exporter.example.yml integrations/flask/resp_flask.py deploy/manual/resp-exporter.1 "$tree/"
	cp -r deploy/systemd/. "$tree/systemd/"
	cp deploy/completions/* "$tree/completions/"
	cp rules/*.rules.yml rules/*.example.yml "$tree/rules/"
	cp grafana/dashboards/*.json "$tree/dashboards/"
	cp deploy/sql/*.sql "$tree/sql/"
	chmod -R u=rwX,go=rX "$tree" && chmod 0711 "$tree/resp-exporter"
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" -c "$name" | gzip -9n >"$out/$name.tar.gz"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out"/resp-exporter[-_]* "$out/sha256sums.txt"
for arch in ${ARCHS:-amd64 arm64}; do
	program=$work/$arch/resp-exporter
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -ldflags "$flags" -o "$program" ./cmd/resp-exporter
	tarball "$program" "$arch"
	tools/release/packages.sh "$program" "$arch" "$version" "$out"
	go tool -modfile=tools/sbom/go.mod cyclonedx-gomod bin -json -std -noserial -notimestamp -version "v$version" \
		-output "$out/resp-exporter-$version.linux-$arch.cdx.json" "$program"
done
(cd "$out" && sha256sum resp-exporter* >sha256sums.txt)
