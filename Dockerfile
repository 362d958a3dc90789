# The image of nvdra, for every process of the driver. The same as `make image` makes without Docker
# (tests/cluster/image.py): Debian's Python, our dependencies for pods, our wheel, bytecode compiled.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag REGISTRY/nvdra:TAG --push .

FROM debian:bookworm-slim AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /usr/share/doc /usr/share/man /usr/share/locale \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.11

FROM python AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && python3 -m venv /venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 SITE=/out/usr/local/lib/python3.11/dist-packages
WORKDIR /src
# The official client is for kubeconfigs that run programs or ask clouds for tokens; a pod has its service account.
COPY pyproject.toml constraints.txt ./
RUN python3 -c 'import tomllib; print(*(line for line in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if not line.startswith("kubernetes")), sep="\n")' >/needed \
 && /venv/bin/pip install --target "$SITE" --constraint constraints.txt --only-binary :all: --requirement /needed
COPY . .
RUN /venv/bin/pip wheel --no-deps --wheel-dir /wheels . \
 && /venv/bin/pip install --target "$SITE" --no-deps /wheels/nvdra-*.whl \
 && rm -rf "$SITE/bin" \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /out -p / "$SITE" \
 && mkdir -p /out/usr/local/bin \
 && printf '#!/usr/bin/python3\nfrom nvdra.start import main\n\nmain()\n' >/out/usr/local/bin/nvdra \
 && chmod 755 /out/usr/local/bin/nvdra

FROM python
COPY --from=build /out /
CMD ["nvdra"]
