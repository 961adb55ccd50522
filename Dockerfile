# The package and all of requirements.lock, for processors: docker build -t etc-segmentation .
# docs/gpus.md#containers says how to run it, under Apptainer too; Dockerfile.cuda is the same for GPUs.
FROM python:3.11-slim-bookworm
# DVC asks git. Versions of Debian packages disappear from its mirrors, so that none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory '*'
WORKDIR /opt/etc-segmentation
COPY requirements.lock ./
# The CPU build of torch is a tenth as large; pip prefers it to that of PyPI.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY etc ./etc
RUN pip install --no-cache-dir --no-deps .
# The project is mounted here. A user without a home, as with `docker run --user`, keeps caches in /tmp.
ENV HOME=/tmp
WORKDIR /project
CMD ["etc", "--help"]
