# The exporter's image. Two targets: distroless, the default, has the program
# and nothing else; busybox has a shell too.
#
#   docker build -t resp-exporter .
#   docker build -t resp-exporter:busybox --target busybox .
#
# docs/compose.md says how it stands beside an app.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY collectors collectors
COPY internal internal
ARG VERSION=unknown
ARG REVISION=unknown
ARG BRANCH=unknown
# The same flags as in the Makefile.
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/prometheus/common/version.Version=${VERSION} -X github.com/prometheus/common/version.Revision=${REVISION} -X github.com/prometheus/common/version.Branch=${BRANCH}" -o /out/resp-exporter ./cmd/resp-exporter
# Root's, and readable by nobody else: the kernel then makes the process not
# dumpable at once. An app with the same user in the container could otherwise
# open its memory between its start and its first own instruction.
RUN chmod 0711 /out/resp-exporter
# A volume that is mounted there takes over the owner of these directories.
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
# Whether the exporter is ready, not whether the app is well: to restart the
# exporter heals no app.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/bin/resp-exporter", "check", "--self"]
ENTRYPOINT ["/bin/resp-exporter"]

# The last stage is what is built when nobody names one. The image has no tags
# of versions; its name has Debian's.
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
