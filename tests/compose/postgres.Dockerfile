# Debian's PostgreSQL with the little of the official image's entry point that compose.yaml uses. The modes are the official
# image's: a tmpfs over a folder gets the folder's mode, and belongs to root.
ARG BASE
FROM ${BASE}
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install postgresql-15 >/dev/null \
    && rm -rf /var/lib/apt/lists/* && install -d -o postgres -g postgres /var/lib/postgresql/data \
    && install -d -o postgres -g postgres -m 3777 /run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data/pg
COPY postgres.sh /usr/local/bin/start-postgres
USER postgres
CMD ["start-postgres"]
