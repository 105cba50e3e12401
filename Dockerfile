# rouse in a container:
#
#   docker build -t rouse .
#   docker run --rm -p 8080:8080 -v "$PWD/rouse.yaml:/etc/rouse/rouse.yaml:ro" rouse
#
# Functions run as processes inside the same container, so a real image starts FROM this one and adds what they need:
#
#   FROM rouse
#   USER root
#   RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
#   COPY functions rouse.yaml /etc/rouse/
#   USER rouse

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY . .
RUN ./dev build release && install -s -D build/release/rouse /out/rouse

FROM debian:bookworm-slim
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    libboost-url1.81.0 libdate-tz3 libfmt9 libprometheus-cpp-core1.0 librdkafka1 libspdlog1.10 libsqlite3-0 libssl3 libyaml-cpp0.7 tzdata \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --home-dir /var/lib/rouse --create-home --shell /usr/sbin/nologin rouse
COPY --from=build /out/rouse /usr/local/bin/rouse
USER rouse
WORKDIR /var/lib/rouse
EXPOSE 8080
# The admin interface stays on the container's loopback.
HEALTHCHECK --interval=10s --timeout=3s CMD ["rouse", "status"]
ENTRYPOINT ["rouse"]
CMD ["serve", "-c", "/etc/rouse/rouse.yaml"]
