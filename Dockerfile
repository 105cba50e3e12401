# rouse in a container:
#
#   docker build -t rouse .
#   docker run --rm -p 8080:8080 -v "$PWD/rouse.yaml:/etc/rouse/rouse.yaml:ro" -v rouse-data:/var/lib/rouse rouse
#
# What it keeps (queued invocations, embedded buses, dead letters, what was set by command) is in /var/lib/rouse. Functions of the
# pool `local` run as processes inside the same container, so an image for them starts FROM this one and adds what they need:
#
#   FROM rouse
#   USER root
#   RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
#   COPY functions rouse.yaml /etc/rouse/
#   USER rouse

# Where /out/rouse comes from: the stage below, or an image that has it already.
ARG BINARY=build

FROM debian:bookworm-slim AS runtime
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates libboost-url1.81.0 libdate-tz3 libfmt9 libprometheus-cpp-core1.0 librdkafka1 libspdlog1.10 libsqlite3-0 \
    libssl3 libyaml-cpp0.7 tzdata \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 10001 --user-group --home-dir /var/lib/rouse --create-home --shell /usr/sbin/nologin rouse

# The packages apart from the sources: they are fetched again only when the script that names them changes.
FROM debian:bookworm-slim AS tools
WORKDIR /src
COPY dev ./
RUN ./dev install build && rm -rf /var/lib/apt/lists/*

FROM tools AS build
COPY . .
RUN ./dev build release && install -s -D build/release/rouse /out/rouse

FROM ${BINARY} AS binary

FROM runtime
COPY --from=binary /out/rouse /usr/local/bin/rouse
# A number, so that Kubernetes sees that it is not root.
USER 10001:10001
WORKDIR /var/lib/rouse
# As systemd says it, so that one configuration does for both: `data_dir: ${STATE_DIRECTORY:-rouse-data}`.
ENV STATE_DIRECTORY=/var/lib/rouse
VOLUME /var/lib/rouse
EXPOSE 8080
# The admin interface stays on the container's loopback.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["rouse", "status"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["rouse"]
CMD ["serve", "-c", "/etc/rouse/rouse.yaml"]
