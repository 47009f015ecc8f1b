# The image: one static binary, nothing else that could be out of date.
#
#   docker build -t wharf .
#   docker run -d -p 5000:5000 -v registry-data:/var/lib/registry wharf
#
# It takes registry:2's place: the same command, paths, port and volume.
# deploy/image builds the same image around a binary that is there already,
# without any base image.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY config config
# glibc linked in, since there is none in the image. With --target, even the
# machine's own, the flag stays away from procedural macros, which can't be
# static. The machine is the image's platform: amd64, arm64, …
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
       cargo build --release --locked --bin wharf --target "$target" \
    && cp "target/$target/release/wharf" /wharf
COPY LICENSE ./
COPY deploy/image deploy/image
RUN deploy/image/rootfs /wharf /rootfs

FROM scratch
COPY --from=build /rootfs/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# root, as in registry:2, since the volumes that it leaves behind belong to
# root. As somebody else, for a volume that is theirs: docker run --user 1000:1000 …
VOLUME ["/var/lib/registry"]
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["registry", "healthcheck", "/etc/docker/registry/config.yml"]
ENTRYPOINT ["registry"]
CMD ["serve", "/etc/docker/registry/config.yml"]
