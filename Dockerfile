# The exporter's image. Two targets: distroless, the default, contains only the
# program; busybox also has a shell.
#
#   docker build -t resp-exporter .
#   docker build -t resp-exporter:busybox --target busybox .
#
# docs/compose.md describes how to run it beside an app.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY collectors collectors
COPY docs/docs.go docs/runbooks.md docs/
COPY internal internal
ARG VERSION=unknown
ARG REVISION=unknown
ARG BRANCH=unknown
# The same flags as in the Makefile, without user and date.
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/prometheus/common/version.Version=${VERSION} -X github.com/prometheus/common/version.Revision=${REVISION} -X github.com/prometheus/common/version.Branch=${BRANCH}" -o /out/resp-exporter ./cmd/resp-exporter
# Owned by root and readable by nobody else: the kernel then makes the process
# non-dumpable at once. Otherwise an app with the same user in the container could
# open its memory between its start and its first instruction.
RUN chmod 0711 /out/resp-exporter
# A volume that is mounted there gets the owner of these directories.
RUN mkdir -p /out/state /out/run

FROM busybox:1.37.0 AS busybox
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resp-exporter" \
      org.opencontainers.image.description="Sees from outside why a Flask or WSGI app does not answer" \
      org.opencontainers.image.source="https://github.com/resp-exporter/resp-exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/resp-exporter /bin/resp-exporter
COPY --from=build --chown=65532:65532 /out/state /var/lib/resp-exporter
COPY --from=build --chown=65532:65532 /out/run /run/resp-exporter
COPY LICENSE /LICENSE
USER 65532:65532
EXPOSE 9868
# Checks whether the exporter is ready, not whether the app is healthy: restarting
# the exporter does not repair the app.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/bin/resp-exporter", "check", "--self"]
ENTRYPOINT ["/bin/resp-exporter"]

# The last stage is built by default. The image has no version tags; its name
# contains Debian's version.
FROM gcr.io/distroless/static-debian12:nonroot AS distroless
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resp-exporter" \
      org.opencontainers.image.description="Sees from outside why a Flask or WSGI app does not answer" \
      org.opencontainers.image.source="https://github.com/resp-exporter/resp-exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/resp-exporter /bin/resp-exporter
COPY --from=build --chown=65532:65532 /out/state /var/lib/resp-exporter
COPY --from=build --chown=65532:65532 /out/run /run/resp-exporter
COPY LICENSE /LICENSE
USER 65532:65532
EXPOSE 9868
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/bin/resp-exporter", "check", "--self"]
ENTRYPOINT ["/bin/resp-exporter"]
