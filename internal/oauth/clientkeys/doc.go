// Package clientkeys verifies what clients sign: their assertions at the token
// endpoint (RFC 7523) and their request objects (RFC 9101).
//
// The keys are those registered for the client, written out or at an address
// of its own. Keys at an address are fetched by package outbound, kept for a
// while, and fetched again when a signature names a key that is not among
// them, so that a client may rotate its keys; how often that happens is
// bounded, since anybody can send a signature that names anything.
//
// A token's own headers never bring a key: jwk, jku and x5u mean nothing here
// (RFC 8725 §3.10). Symmetric keys and "none" do not exist.
package clientkeys
