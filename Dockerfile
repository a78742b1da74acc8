# The provider in an image of its own: one static binary, no shell, no root.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /idp ./cmd/idp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /idp /idp
USER 65532:65532
EXPOSE 9000
ENTRYPOINT ["/idp"]
CMD ["serve", "--config", "/etc/portico/idp.yaml"]
