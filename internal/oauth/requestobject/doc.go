// Package requestobject reads the JSON Web Tokens in which clients send
// authorization requests (RFC 9101; OpenID Connect Core §6).
//
// It says whether an object is authentic, meant for this issuer and of this
// time, and gives out its parameters. It fetches nothing, finds no keys and
// judges no parameter: that is for package oauth.
//
// What it promises:
//
//   - Only the algorithms of an allowlist count, and of these only the one that
//     is registered for the client, if one is. "none" counts where the rules
//     say so and nowhere else.
//   - A signature is checked with keys registered for the client. What the
//     object itself says about keys (jwk, jku, x5u, x5c) is not looked at
//     (RFC 8725 §3.1, §3.10).
//   - A client assertion never passes for a request object: an object names its
//     client in client_id and has no client as its subject (RFC 9101 §10.8).
//   - A member that stands there twice makes the object unreadable: what one
//     parser sees and another does not is how such objects are attacked.
package requestobject
