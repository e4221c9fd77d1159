# The shop of e2e/shop under gunicorn, its RQ worker and its simulated visitors,
# with the same packages as in the tests.
FROM debian:12.11-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends gunicorn python3-cryptography python3-flask python3-pymysql python3-redis python3-rq python3-sqlalchemy \
 && rm -rf /var/lib/apt/lists/*
# No python3-setproctitle: without it gunicorn's command line stays visible, and
# with it --preload, which recycle_worker checks.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The exporter's socket is in a volume, which gets the owner of this directory.
RUN install -d -o 65532 -g 65532 /run/resp-exporter
COPY e2e/shop /srv/shop
COPY integrations/flask/resp_flask.py /srv/shop/
COPY deploy/compose/shop /opt/shop
WORKDIR /srv/shop
# The uid of the exporter: a process with the same uid needs no capability to read this one.
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/bin/sh", "/opt/shop/start.sh"]
CMD ["serve"]
