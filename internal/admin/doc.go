// Package admin lets staff help guardians back in without ever seeing a
// secret. It is the JSON API that a practice portal calls with the signed-in
// person's access token.
//
// It owns the table idempotency_keys and nothing else: people are read through
// practice, which counts invitations too, changed through account and factor;
// reset links are made and waived by recovery. It has no pages.
//
// Routes, below /admin/v1 on the host of the API's base address:
//
//	GET    /openapi.json                        the description, without a token
//	GET    /problems/{code}                     what a problem document means, without a token
//	GET    /me                                  who asks, practices and permissions
//	GET    /patients                            search
//	GET    /patients/{id}                       a patient with associations
//	POST   /patients/{id}/associations          invite a guardian
//	GET    /associations/{id}                   portal access and account settings
//	POST   /associations/{id}/invitation        send the invitation again
//	DELETE /associations/{id}/invitation        take it back
//	PATCH  /associations/{id}/login-email       change a guardian's login email
//	DELETE /associations/{id}/login-email-change             cancel what waits for the guardian
//	POST   /associations/{id}/password-resets                send a reset link
//	POST   /associations/{id}/account/unfreeze               let a frozen guardian in again
//	POST   /associations/{id}/account/second-factor-removal  for who has lost them
//	GET    /password-resets/{id}                how far the link has got
//	DELETE /password-resets/{id}                cancel the link
//	POST   /password-resets/{id}/answer-waiver           ask for its question not to be asked
//	POST   /password-resets/{id}/answer-waiver/approval  agree, as a second person
//	GET    /staff                               who works in the practices one manages
//	POST   /staff                               invite a member of staff
//	GET    /staff/{id}                          one of them
//	PUT    /staff/{id}/roles                    say what the roles are
//	DELETE /staff/{id}                          take all roles away
//	POST   /staff/{id}/invitation               send the invitation again
//	POST   /staff/{id}/unfreeze                 let a frozen colleague in again
//
// # Who may
//
// Three things have to hold at once, and the default is no: the token's scope
// (admin.read or admin.manage), a current role in the practice, and the path
// staff → practice → patient → association in the database. Roles are read
// with every request. What lies outside the path is the same 404 as what does
// not exist. Tokens that no person stands behind (client_credentials) are
// refused. Everything that changes something, but for cancelling a link, also
// needs a sign-in not older than the practice realm's Lifetimes.StaffAction,
// else 401 with insufficient_user_authentication (RFC 9470 §3).
//
// # Own accounts
//
// Nobody helps themselves: an account can be looked at, not changed, when it has
// or ever had a login email that the person has or had as staff, or when an
// import has linked the two (practice.Store.LinkPerson). Nor can somebody give a
// family's account an address of their own. Who never used the same address on
// both sides, and whom no import has linked, is not recognised; the events say
// who did what.
//
// # Shared guardians
//
// The login email of a guardian who also has an association in another practice
// (one that gives access, and that they have signed in with) is not one
// practice's to change. The change is asked for (202), the guardian allows it
// with a link mailed to the present address, and until then the practice that
// asked sees what waits and can cancel it. A reset link may be sent, because it
// only goes to the address on file. What another practice has given to an address
// whose owner has not signed in since lapses when the address is changed, by
// whomever.
// Unfreezing such a guardian, removing their second factors and a lapse leave an
// event in the other practice's name as well.
//
// # Invitations
//
// Inviting an address makes the association at once. The answer is the same
// for an address with an account and without one; only the letter differs. Of an
// account that was there before, staff see what they typed, as if it had been made
// for them, until its owner has signed in: nowhere does the address reveal its
// reader, and whatever staff try is answered as for an account that nobody has
// activated. So who has typed a wrong address takes the invitation back and
// invites the right one. That an address is taken is still said to who changes a
// login email to it: who may do that tries so many addresses a day, each is
// counted before it is looked up, and those that were taken stand in the trail.
//
// Nor does such an account give the practice power: for as long as
// Recovery.RecentEmailChange says after it was tied, a change of its login email
// needs the guardian's permission, and it is neither unfrozen nor let past a
// question or a second factor. Otherwise staff could take over any account by
// inviting its address. An import that knows the tie settles it. What staff have
// made staff can take back, what an import has made they cannot give back. A
// cancelled invitation is not sent again to whoever asks at the sign-in page. A
// practice invites so many people a day; what is refused or repeated does not
// count.
//
// When the login email of an account that an import has invited is changed, the
// invitation goes to the new address and both addresses are told.
//
// # Staff
//
// An administrator manages the staff of their own practices and of no other
// one; an invitation gives roles in the one practice only. Nobody changes their
// own roles, and a practice keeps an administrator whose account is active.
// What is named in the URL is somebody's place in one practice; its version is
// the ETag. A frozen colleague is let in by another administrator, with a check of
// the identity; where there is none, the operator does it (idp account unfreeze).
// Not by a practice that has added the account a short while ago; every other
// practice of the colleague's has it in its part of the trail.
//
// # Past the guardian's own proof
//
// Unfreezing, removing second factors and waiving the question for one link
// each need a text that says how the person's identity was checked, which
// stays in a high-severity event. The latter two need the permission waive and
// a login email that was not changed a short while ago; a waiver needs a second
// member of staff of the practice. A frozen account gets no link. Its login
// email can be put right before it is unfrozen; then, or when staff had changed it
// a short while before, unfreezing needs the permission waive and somebody who has
// not changed it.
//
// Where unfreezing takes more away than the password, a security question or second
// factors that were set since the oldest notice, it needs all that removing second
// factors needs: whoever reads a mailbox can freeze the account, and being let in
// again must not be the easier way past the second factor. It holds for colleagues
// too. unfreezing_removes says before what will go.
//
// A role that a colleague has given counts for none of this as long as
// Recovery.RecentEmailChange says, nor for unfreezing staff: one administrator is
// not two by inviting an address of their own, nor by having that one invite
// another. An import's role counts at once.
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
//   - A name is judged before anybody is looked up, so that what only a new
//     account would refuse does not tell who has one.
//   - Errors are problem documents (RFC 9457), on unknown routes too. Their
//     code is stable.
package admin
