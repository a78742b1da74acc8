// Package interop signs in with clients that other people wrote, as they come:
// nothing in Portico knows about any of them, and none gets a setting here that
// its own manual does not ask for.
//
// TestMain builds and starts the demo on free ports; each test then does what a
// portal does: sign-in, userinfo, refresh, logout. `make interop` runs it all.
//
// The clients redirect to http://localhost:9099/callback, the address that the
// demo's client native-test is registered with, so that port has to be free.
package interop
