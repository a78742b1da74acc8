// Package signin proves who sits at the browser.
//
// It owns the pages of signing in, and the sign-ins whose password was right
// and that wait for a second step (signin_steps). It does not own passwords
// (account), codes and passkeys (factor), the session that a sign-in starts
// (session), or what a client asked for (oauth): steps never call each other,
// each returns to the authorization endpoint, which decides from stored state
// what comes next.
//
// Routes, relative to the realm; all take flow=ID, to continue to a client, or
// return_to=…, for a page of My Account:
//
//	GET  /signin                email and password, or a passkey; POST the same
//	GET  /signin/second         the second step; POST the same
//	GET  /signin/enrol          a second step has to be set up; POST: not now
//	GET  /signin/enrol/app      with an authenticator app; POST the same
//	GET  /signin/enrol/passkey  with a passkey; POST the same
//
// # The journey
//
// A right password is a session only for people who have no second factor and
// need none. For others it is a row, bound to this browser, to the account as
// it was, and to the request; its token travels in a cookie of its own. It
// opens the pages of the second step and nothing else. The transaction that
// starts the session spends it. A passkey is two factors at once and needs no
// second step.
//
// Who has to have a second factor and has none is told so at a sign-in, and may
// put it off until the realm's grace period, which begins there, is over. Then
// the sign-in is completed by setting one up.
//
// Step-up: where a client asks for more than a session has, oauth sends the
// browser to /signin/second, which asks for the second proof alone and makes
// the session stronger; or to /signin/enrol, for people who have none. So do
// oauth and My Account with a session that is too weak for the realm by now
// (session.Session.Overdue).
//
// # Promises
//
//   - A wrong password, an unknown address, an account that is inactive or
//     frozen and one whose password was disabled after too many failures give
//     the same page in the same time. What it was goes to the audit trail. So
//     do all passkeys that sign nobody in.
//   - Tries are slowed down by the typed address, known or not, and the
//     network. A browser that has signed in to the account before, with the
//     password of today, is slowed down by its own failures only, so an
//     attacker cannot keep it out, nor can neighbours on its network. Five
//     browsers a day become known to an account; together they have as many
//     failures in a row as all strangers together.
//   - To the second step a browser is known when it has passed it, with the
//     password of today and since the oldest factor that is there now began to
//     count. Whoever once used the password in a browser of their own, before
//     there was a second step, is a stranger to it.
//   - A right password without the second step forgets no failures and counts
//     as none. So whoever stole the password gains no guesses by it and locks
//     nobody out.
//   - Wrong codes are counted before they are verified: for the account
//     (factor), apart for strangers and for known browsers, and for the started
//     sign-in, which ends with the last of them. In a session that is to become
//     stronger they end the session, and what clients got through it. What is
//     turned away unseen counts for neither, nor does a code that was asked for
//     something else than this browser could prove by now.
//   - Of the sign-ins of an account that wait, ten of known browsers and ten of
//     strangers are kept, so whoever stole the password ends none that the person
//     has begun in a known browser.
//   - Passkeys are counted by network, and those that a known browser shows of its
//     own account apart from that.
//   - Whatever changes what proves the person between the steps, or closes or
//     freezes the account, ends the sign-in.
//   - A busy server costs nobody a try.
//   - Every sign-in makes a new token. Somebody who signs in again in the same
//     browser goes on with their session, so that what clients hold goes on too;
//     a session of somebody else that the browser had ends. A session that becomes
//     stronger gets a new token.
//   - A second factor is set up only by somebody who has typed the password a
//     moment ago, and only where there is none; the transaction that stores it
//     lets the person in, or neither happens.
//   - The pages lead to the authorization endpoint or to a page of My Account,
//     nowhere else.
package signin
