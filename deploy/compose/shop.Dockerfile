# The shop of e2e/shop under gunicorn, its RQ worker and its visitors, with the
# same packages that the tests run with.
FROM debian:12.11-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends gunicorn python3-cryptography python3-flask python3-pymysql python3-redis python3-rq python3-sqlalchemy \
 && rm -rf /var/lib/apt/lists/*
# No python3-setproctitle: without a title of its own gunicorn's command line
# stays to be seen, and --preload in it, which recycle_worker looks for.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The exporter's socket is in a volume; it takes over the owner of this directory.
RUN install -d -o 65532 -g 65532 /run/resp-exporter
COPY e2e/shop /srv/shop
COPY deploy/compose/shop /opt/shop
WORKDIR /srv/shop
# The number of the exporter's user: who shares it needs no capability to look.
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/bin/sh", "/opt/shop/start.sh"]
CMD ["serve"]
