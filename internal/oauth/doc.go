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
//	POST /oauth/par                                authorization request, pushed (RFC 9126)
//	POST /oauth/token                              code, refresh_token, client_credentials
//	GET  /oauth/userinfo, POST                     claims about the person
//	POST /oauth/introspect                         is this token alive? (RFC 7662)
//	POST /oauth/revoke                             end a token and its grant (RFC 7009)
//	GET  /oauth/logout, POST                       RP-initiated logout
//	POST /oauth/logout/confirm                     the button of our own sign-out page
//	GET  /oauth/signed-out                         the page afterwards
//	GET  /oauth/session                            check_session_iframe, where the realm has it
//	POST /oauth/register                           a client registers itself, where the realm allows it (RFC 7591)
//	GET  /oauth/register/{client}, PUT, DELETE     a client manages its registration (RFC 7592)
//	GET  /consent, POST                            the consent page
//
// # The journey
//
// A portal sends the browser to /oauth/authorize. What the request says is
// checked before anything else: a redirect URI that is not registered gets a
// page here and is never followed. Then named checks in a visible order
// (checks.go) decide from stored state what has to be asked. If there is
// something, the request becomes an interaction row, bound to this browser,
// and the browser goes to /signin, /signin/second, /signin/enrol or /consent with
// its id; all lead back to /oauth/authorize?flow=, where the same checks run
// again. When nothing is left to ask, a grant and a code are stored and the
// browser goes back.
//
// # Where a request comes from
//
// The parameters of a request stand in it, in a request object (RFC 9101,
// package requestobject), or were pushed by the client beforehand (par.go).
// They come from one of these, never from two: what stands beside an object or
// a reference counts for nothing, but to send an error back (source.go). What
// is read then is the same, and so are the checks. A pushed request is used up
// by its answer, not by a look at it. Objects behind an address are fetched so
// many times a minute for each client, and those whose address contains their
// hash are kept for a while (fetch.go).
//
// A scope that the realm does not know is left out (OpenID Connect Core
// §3.1.2.1), and the token response says what was granted (RFC 6749 §3.3). One
// that is known and not the client's is refused, so that somebody notices. So is
// an unknown scope at the token endpoint, where the client knows what it has.
//
// The answer goes back in the query, in the fragment, or by a page that posts
// it (response.go). Tokens never travel in a query. Which response types there
// are, whether PKCE may be left out and which request objects are read, is the
// policy of each realm, strict unless its configuration relaxes it.
//
// # Storage
//
// fosite's handlers call a storage interface a dozen times per exchange. Here
// it is a unit of work (unit.go): one read when the code or refresh token is
// known, everything else from memory, one batch before the answer is written.
// Single use is the WHERE clause of that batch. What protects the person (the
// end of a family after reuse) is written even when the request fails.
//
// # Sign-out
//
// Whatever ends a session comes by [session.Manager.OnEnd] in its transaction.
// There a row is queued for every client that the session was used for and that
// wants a logout token (backchannel.go); LogoutWorker makes and posts the token,
// again with pauses until the client has answered 200 or two hours are over. The
// queue is fair (logoutqueue.go): clients take turns, each has two calls at once,
// one that is down has one and is left alone for longer and longer, and clients
// that are down or registered themselves never have more than half of the slots.
// What is given up is an event of the audit log and a figure of the metrics. A
// browser that signs out here sees a page with the clients' frames
// (frontchannel.go) before it goes on.
//
// Which clients a session was used for is noted with every grant and stays as
// long as the session (session_clients): a kept session outlives its grants. A
// session that has run into a limit is still there to be signed out of, by its
// own browser: until then the tokens of its clients are alive. Signing out ends
// all grants of the session, those with offline_access too.
//
// # Clients
//
// A client of the configuration is found without a query. One that registered
// itself is a row; where a code, a refresh token or a grant is read anyway,
// that statement also tells the version of the client's registration, so that
// a remembered client is used and still every replica follows a change or a
// deletion at once. A client proves who it is by the one method it is
// registered for. A signed assertion is spent in the batch that hands out what
// it buys: a replay takes the whole batch with it. What a client publishes
// (keys, sectors) is fetched through package outbound only. A registered client
// that never gets tokens is removed after a while (unused.go), and what people
// agreed to goes with its client.
//
// Every subject and every sid that leaves is made by subject.go: the identifier
// of the account or the session, or for a pairwise client a pseudonym of its
// sector, so that two sectors cannot find out that a person, or a browser, is the
// same. Inside, only the identifiers are used. The pseudonyms hang on the
// key-encryption key: with another one, pairwise clients see strangers. A sector
// is a host that somebody owns: apps on loopback or with a scheme of their own
// have to name one.
//
// # Strangers
//
// A client that registered itself was looked at by nobody (strangers.go). The
// pages for signing in and agreeing say so and name the host it leads to.
// Agreeing is agreeing to what the page showed: when the client's name, its
// addresses or its registration change meanwhile, the person is asked again.
//
// Where anybody may register, an authorization endpoint that sends every error to
// the registered address redirects for whoever wants it to (RFC 9700 §4.11.2): a
// link to us with prompt=none or a bad parameter would lead to any site. In a
// realm whose registration is open such errors therefore end on a page that asks
// "Leave for that host?", as long as no page of ours has named the host in this
// flow; and a sign-out that nobody was asked about does not follow an address
// either. That departs from RFC 6749 §4.1.2.1, which §4.11.2 allows, and costs
// such clients silent renewal in a frame for people who are signed out. Realms
// that hand out initial access tokens know whom they let register, and redirect;
// so do realms with trust_redirect_uris, which conformance runs need.
//
// # Promises
//
//   - A code or a refresh token is spent once, whatever runs in parallel.
//   - Reuse ends the whole grant and raises one alarm, however many requests it
//     came in. A confidential client may repeat the
//     immediately preceding refresh for a few seconds (FAPI 2.0 §5.3.2.1): it
//     gets the same successor again, so there is never more than one live
//     descendant.
//   - Every issuance asks again whether the account is active, its credentials
//     are those of the grant, the session was not ended and the grant not
//     revoked: in the statement that spends the code or token.
//   - A database that does not answer is 503: never invalid_client, never
//     taken for reuse.
//   - Every authorization response names its issuer (RFC 9207).
//   - An authorization request makes this server call nobody, except in a realm
//     that allows request objects by reference, and then only an address that is
//     registered for the client, so many times a minute.
//   - Nothing that came from outside is parsed by the older JOSE library that
//     fosite brings along.
package oauth
