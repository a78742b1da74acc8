// Package admin lets staff help guardians back in without ever seeing a
// secret. It is the JSON API that a practice portal calls with the signed-in
// person's access token.
//
// It owns the table idempotency_keys and nothing else: people are read through
// practice, changed through account, reset links are made by recovery. It has
// no pages.
//
// Routes, below /admin/v1 on the host of the API's base address:
//
//	GET    /openapi.json                        the description, without a token
//	GET    /problems/{code}                     what a problem document means, without a token
//	GET    /me                                  who asks, practices and permissions
//	GET    /patients                            search
//	GET    /patients/{id}                       a patient with associations
//	GET    /associations/{id}                   portal access and account settings
//	PATCH  /associations/{id}/login-email       change a guardian's login email
//	POST   /associations/{id}/password-resets   send a reset link
//	GET    /password-resets/{id}                how far the link has got
//	DELETE /password-resets/{id}                cancel the link
//
// # Who may
//
// Three things have to hold at once, and the default is no: the token's scope
// (admin.read or admin.manage), a current role in the practice, and the path
// staff → practice → patient → association in the database. Roles are read
// with every request. What lies outside the path is the same 404 as what does
// not exist. Tokens that no person stands behind (client_credentials) are
// refused. Changing a login email and sending a link also need a sign-in not
// older than the practice realm's Lifetimes.StaffAction, else 401 with
// insufficient_user_authentication (RFC 9470 §3).
//
// # Own accounts
//
// Nobody helps themselves: an account whose login email is the one the person
// signs in with as staff, or that was linked to them by an import
// (practice.Store.LinkPerson), can be looked at, not changed. Nor can somebody
// give a family's account their own address.
//
// # Shared guardians
//
// The login email of a guardian who also has an association in another
// practice is not one practice's to change: 409 says what staff can do
// instead. A reset link may be sent, because it only goes to the address on
// file.
//
// # Promises
//
//   - No answer, event or log line contains a password, an answer or a link.
//   - A request is strict JSON: unknown or repeated keys, wrong types and
//     trailing data are 400; a meaning that cannot be is 422.
//   - Everything that changes is one transaction with its audit event and its
//     letters. A refusal changes nothing; it is recorded by itself.
//   - A POST with an Idempotency-Key is done once in 24 hours per person and
//     key. The key's row is claimed in the transaction that makes the ticket,
//     so of fifty at once one makes it and the others repeat its answer.
//     Refusals are not kept: nothing was done, the key is still free.
//   - Cursors are sealed and bound to the person and the search.
//   - Errors are problem documents (RFC 9457), on unknown routes too. Their
//     code is stable.
package admin
