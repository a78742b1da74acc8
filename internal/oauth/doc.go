// Package oauth tells a relying party who signed in.
//
// It owns the authorization requests that wait for their person
// (interactions), what was agreed to (consents), grants and everything that
// comes of them: codes, refresh tokens, access tokens, ID tokens. It does not
// prove who anybody is (signin does), keeps no sessions (session does) and
// holds no keys (keyring does). Types of fosite never leave it.
//
// # Routes, below the realm's path
//
//	GET  /.well-known/openid-configuration         discovery (OpenID Connect Discovery §4)
//	GET  /.well-known/oauth-authorization-server   the same (RFC 8414 §3)
//	GET  /oauth/jwks                               the public keys
//	GET  /oauth/authorize, POST                    authorization request; with ?flow= its way back
//	POST /oauth/token                              code, refresh_token, client_credentials
//	GET  /oauth/userinfo, POST                     claims about the person
//	POST /oauth/introspect                         is this token alive? (RFC 7662)
//	POST /oauth/revoke                             end a token and its grant (RFC 7009)
//	GET  /oauth/logout, POST                       RP-initiated logout
//	POST /oauth/logout/confirm                     the button of our own sign-out page
//	GET  /oauth/signed-out                         the page afterwards
//	GET  /consent, POST                            the consent page
//
// # The journey
//
// A portal sends the browser to /oauth/authorize. What the request says is
// checked before anything else: a redirect URI that is not registered gets a
// page here and is never followed. Then named checks in a visible order
// (checks.go) decide from stored state what has to be asked. If there is
// something, the request becomes an interaction row, bound to this browser,
// and the browser goes to /signin or /consent with its id; both lead back to
// /oauth/authorize?flow=, where the same checks run again. When nothing is
// left to ask, a grant and a code are stored and the browser goes back.
//
// # Storage
//
// fosite's handlers call a storage interface a dozen times per exchange. Here
// it is a unit of work (unit.go): one read when the code or refresh token is
// known, everything else from memory, one batch before the answer is written.
// Single use is the WHERE clause of that batch. What protects the person (the
// end of a family after reuse) is written even when the request fails.
//
// # Promises
//
//   - A code or a refresh token is spent once, whatever runs in parallel.
//   - Reuse ends the whole grant. A confidential client may repeat the
//     immediately preceding refresh for a few seconds (FAPI 2.0 §5.3.2.1): it
//     gets the same successor again, so there is never more than one live
//     descendant.
//   - Every issuance asks again whether the account is active, its credentials
//     are those of the grant, the session was not ended and the grant not
//     revoked: in the statement that spends the code or token.
//   - A database that does not answer is 503: never invalid_client, never
//     taken for reuse.
//   - Every authorization response names its issuer (RFC 9207).
package oauth
