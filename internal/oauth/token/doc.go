// Package token writes and reads the JSON Web Tokens of a realm.
//
// It knows the claims of access tokens (RFC 9068) and of ID tokens (OpenID
// Connect Core §2) and how to sign and verify them; which claims go in, and
// whether a token still counts, is for package oauth to decide.
//
// What it promises:
//
//   - A token is verified with a key of this realm, found by its kid, and with
//     the algorithm that belongs to that key; what the token itself says about
//     keys (jwk, jku, x5u) is not looked at (RFC 8725 §3.1, §3.10).
//   - The types are told apart: an ID token never passes for an access token,
//     nor the other way round (RFC 8725 §3.11).
package token
