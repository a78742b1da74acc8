// Package signin proves who sits at the browser.
//
// It owns the sign-in page. It does not own passwords (account), the session
// that a sign-in starts (session), or what a client asked for (oauth): steps
// never call each other, each returns to the authorization endpoint, which
// decides from stored state what comes next.
//
// Routes, relative to the realm:
//
//	GET  /signin?flow=ID        sign in to continue to a client
//	GET  /signin?return_to=…    sign in to a page of My Account
//	POST /signin                with the same query
//
// Promises:
//
//   - A wrong password, an unknown address, an inactive account and one whose
//     password was disabled after too many failures give the same page in the
//     same time. What it was goes to the audit trail.
//   - Tries are slowed down by the typed address, known or not, and the
//     network. A browser that has signed in to the account before, with the
//     password of today, is slowed down by its own failures only, so an
//     attacker cannot keep it out, nor can neighbours on its network. Five
//     browsers a day become known to an account; together they have as many
//     failures in a row as all strangers together.
//   - A busy server costs nobody a try.
//   - Every sign-in makes a new session; the one the browser had before ends.
//   - The page leads to the authorization endpoint or to a page of My Account,
//     nowhere else.
package signin
