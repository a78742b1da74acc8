// Package account knows people and what proves who they are.
//
// It owns the accounts of every realm with their login email, state, password
// and security answer, the invitations that make an account active, and the
// pages on which people look after their own account. It does not own sessions
// (session), the way back in after a forgotten password (recovery), or who
// stands for which patient (practice).
//
// Routes, all relative to the realm:
//
//	GET  /account                      My Account
//	GET  /account/password             Change password
//	POST /account/password
//	GET  /account/language             the language of pages and letters
//	POST /account/language
//	POST /account/sessions/end-others  sign out of all other devices
//	POST /account/sessions/{id}/end    sign out of one device
//	GET  /.well-known/change-password  302 to Change password
//	GET  /activate/{token}             an invitation's link; changes nothing
//	POST /activate/{token}             swaps the token for a flow cookie
//	GET  /activation/password          step 1, POST the same
//	GET  /activation/question          step 2, POST the same
//	GET  /activation/done              step 3
//
// Promises:
//
//   - ReplacePassword is the one way in which a password changes. It stores the
//     hash, raises the credential version, ends sessions and grants, voids
//     reset links, queues the notice and records the event, all in the caller's
//     transaction. Activation, change and recovery end there.
//   - Whatever changes what proves a person starts by locking the account's row
//     (Lock), then touches tickets, sessions and grants, in this order. So two
//     of them never deadlock and never pass each other.
//   - Authenticate costs the same for an unknown address, a wrong password and
//     an account that is not active, and says ErrCredentials for all three.
//   - A login email is compared in one normal form only, see NormalizeEmail.
//   - An invitation is spent once, by the commit that makes the account active.
//     A GET of its link, by whomever, changes nothing.
package account
