# The image of the operator: one static program, no shell, no root.
#
#   docker build -t towtank-operator .
#
# Where nothing can be pulled, the last stage alone, around a program that was built before:
#
#   rustup target add x86_64-unknown-linux-musl
#   cargo build --release -p towtank-operator --target x86_64-unknown-linux-musl
#   mkdir -p image && cp target/x86_64-unknown-linux-musl/release/towtank-operator image/
#   docker build -t towtank-operator -f Dockerfile.prebuilt image

FROM docker.io/library/rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p towtank-operator && cp target/release/towtank-operator /towtank-operator

FROM scratch
COPY --from=build /towtank-operator /towtank-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/towtank-operator"]
