// Package relyingparty signs people in to a web application through an OpenID
// Connect provider, with coreos/go-oidc and x/oauth2. The two demo portals are
// built on it; copy it as a starting point for a portal of your own. It knows
// the provider by its issuer only and shares nothing with it.
//
// It owns the authorization code flow with PKCE, state and nonce (OpenID
// Connect Core 1.0 §3.1), the check of the ID token, the server-side session
// and its cookie, the renewal of access tokens and RP-initiated logout.
//
// It owns no routes and no pages: the portal mounts /signin, /callback and
// /signout and calls [Party.Begin], [Party.Finish] and [Party.SignOut].
//
// Promises:
//   - An answer that does not name the provider is refused when the provider
//     says that its answers do (RFC 9207 §2.4).
//   - A sign-in that another site starts leads to pages of the portal only.
//   - Tokens stay on the server; the browser holds an opaque identifier, new
//     after every sign-in.
//   - A sign-in finishes only in the browser where it began, once, and within
//     half an hour.
//   - A refresh token is presented once: requests of one session that need a
//     new access token wait for one renewal. A provider that detects reuse
//     would otherwise end the grant.
//   - Sessions live in memory: a restart of the portal signs everybody out of
//     the portal, though not of the provider.
package relyingparty
