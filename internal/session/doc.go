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
//     that was planted before the sign-in is worth nothing after it. A session
//     that becomes stronger ([Manager.Strengthen]) or is confirmed by a password
//     or a passkey ([Manager.Confirm]) keeps its row and its sid and gets a new
//     token; the old one is dead.
//   - A sign-in of the same person at the same browser renews the session
//     ([Manager.Renew]): row and sid stay, the token is new, and level, times and
//     limits are those of the new sign-in. [Manager.Idle] finds what is to be
//     renewed or ended, also past a limit; it signs nobody in.
//   - A session that takes the place of another one after a change of the password
//     ([Manager.Succeed]) is as strong and as old as that was, and lasts as long.
//   - AuthTime is when the person proved something last, as clients are told it;
//     ConfirmedAt is when that was a password or a passkey. A code alone moves
//     the first and not the second.
//   - A session is over at the realm's idle limit, at its absolute limit, when
//     it was ended, and at once when the account is no longer active. One query
//     decides all four, by the database's clock; a realm that lowers its limits
//     lowers them for sessions that are already open.
//   - Where a realm offers it, a session that its person asked to keep has one
//     limit of its own, idle and absolute, and a cookie that outlives the
//     browser's window. A realm that stops offering it holds kept sessions to the
//     ordinary limits at once.
//   - Where a realm demands a second factor, Find says of a session of one factor
//     when it is not enough any more (Overdue), in the same query. It reads for that
//     which second factors, roles and word from signin the account has, and never
//     writes them.
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
