# The command `usage`, with its dependencies and nothing else, as a user without rights.
#
# Every package is one of requirements/*.lock, checked against its hash. Base images are named by
# their version; where a registry can be asked, pin them further: `FROM python:…@sha256:…`.

FROM python:3.12.12-slim-bookworm AS build
COPY requirements /src/requirements
RUN pip install --no-cache-dir --require-hashes -r /src/requirements/build.lock \
    && pip wheel --no-cache-dir --require-hashes --no-build-isolation --wheel-dir /wheels \
       -r /src/requirements/run.lock
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src

FROM python:3.12.12-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels interaction-usage \
    && useradd --uid 10001 --create-home usage
USER usage
WORKDIR /home/usage
ENV PYTHONUNBUFFERED=1
CMD ["usage", "--help"]
