// Package server builds everything from a configuration, mounts the routes,
// runs the workers, and shuts down in order. It is the one room that knows
// every other; cmd/idp, cmd/demo and the journeys in this package's tests use
// it.
//
// New opens the database, brings its tables up to date, makes the signing keys
// that are missing, and listens; so when it returns, everything that can be
// wrong with an installation has been found. Run serves until its context ends.
//
// Two listeners:
//
//   - the public one resolves host and path to a realm, by the configured
//     issuers, and serves the realm's pages and protocol endpoints with one
//     engine (routes.go). Beside the realms hang the admin API and the metadata
//     locations of RFC 8414 §3.1, which put the realm's path behind
//     /.well-known.
//   - the private one answers /healthz (this process runs), /readyz (database
//     and schema are there) and /metrics.
//
// Background work (outbox, recovery requests, audit chain, key refresh,
// clean-up) runs in workers under one context (workers.go). All of it is safe
// with any number of replicas; a request starts no goroutine.
//
// Shutting down: the public listener closes and requests end, within the
// configured time; then the workers stop; then the database closes.
package server
