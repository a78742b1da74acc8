// Package session remembers a browser that has signed in to a realm.
//
// It owns the rows of the table sessions and the cookie that names one of
// them. It has no routes: signin starts sessions, the pages of a signed-in
// person ask for [Manager.Current], sign-out and every change of what proves a
// person ends them.
//
// What it promises:
//
//   - The cookie holds 256 random bits; the table holds their SHA-256. Reading
//     the database signs nobody in.
//   - Every [Manager.Start] makes a new identifier and a new token, so a cookie
//     that was planted before the sign-in is worth nothing after it.
//   - A session is over at the realm's idle limit, at its absolute limit, when
//     it was ended, and at once when the account is no longer active. One query
//     decides all four, by the database's clock; a realm that lowers its limits
//     lowers them for sessions that are already open.
//   - Reading a session writes at most once a minute, so the idle limit may be
//     reached up to a minute early, never late.
//   - A database that does not answer is an error, never "signed out": no
//     cookie is cleared because of it.
//
// Whatever ends sessions comes by one place, which tells [Manager.OnEnd] in the
// same transaction: oauth queues the messages to clients there.
//
// Single sign-out towards clients and the revocation of grants belong to oauth.
package session
