# The image that `cargo xtask image --out gamekeeper.tar` writes without Docker.
FROM rust:1.95-bookworm AS build
WORKDIR /gamekeeper
COPY . .
RUN cargo xtask image --rootfs /image

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/gamekeeper"]
