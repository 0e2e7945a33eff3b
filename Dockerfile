# The command `usage`, with its dependencies and nothing else, as a user without rights.

FROM python:3.12.12-slim-bookworm AS build
COPY . /src
RUN pip wheel --no-cache-dir --wheel-dir /wheels /src

FROM python:3.12.12-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels interaction-usage \
    && useradd --uid 10001 --create-home usage
USER usage
WORKDIR /home/usage
ENV PYTHONUNBUFFERED=1
CMD ["usage", "--help"]
