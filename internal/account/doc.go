// Package account knows people and what proves who they are.
//
// It owns the accounts of every realm with their login email, state, password
// and security answer, the invitations that make an account active, changes of
// the login email that wait for their link, the emails of before, the links of
// notices that freeze an account, and the pages on which people look after their own account. It does
// not own sessions (session), second factors (factor), the way back in after a
// forgotten password (recovery), or who stands for which patient (practice).
//
// Routes, all relative to the realm:
//
//	GET  /account                      My Account
//	GET  /account/confirm              asks for the password, then back to return_to
//	POST /account/confirm
//	GET  /account/password             Change password
//	POST /account/password
//	GET  /account/email                Change email
//	POST /account/email                mails a link to the new address
//	GET  /account/email/sent           check your new email
//	POST /account/email/cancel         gives the change up
//	GET  /account/question             Change security question, POST the same
//	GET  /account/profile              what the person is called, POST the same
//	GET  /account/apps                 connected apps
//	GET  /account/apps/remove          what removing one means, POST does it
//	GET  /account/history              sign-in history, from ?before= on
//	GET  /account/language             the language of pages and letters
//	POST /account/language
//	POST /account/sessions/end-others  sign out of all other devices
//	POST /account/sessions/{id}/end    sign out of one device
//	GET  /.well-known/change-password  302 to Change password
//	GET  /email/{token}                the link to a new email, or to what staff
//	                                   want to change it to; changes nothing
//	POST /email/{token}                swaps the token for a flow cookie
//	GET  /email/confirm                the question, yes or no
//	POST /email/confirm                yes changes the email; no leaves all as it
//	                                   is, or ends what staff asked for and leads
//	                                   to /freeze/confirm
//	GET  /email/done                   it is changed
//	GET  /freeze/{token}               "this wasn't me" in a notice; changes nothing
//	POST /freeze/{token}               swaps the token for a flow cookie
//	GET  /freeze/confirm               what freezing means, yes or no
//	POST /freeze/confirm               yes freezes the account
//	GET  /freeze/done                  it is frozen, and what to do now
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
//     an account that is not active or frozen, and says ErrCredentials for all.
//   - An open browser changes nothing that proves its person. Change password
//     asks for the current one; the pages behind Confirmed (email, question,
//     second factors) want a session whose person typed it, or used a passkey,
//     within Lifetimes.Reauthentication, on the POST too.
//     Where there is a second factor, the session has proved that one as well: a
//     session from before it, and a stolen password, are not enough.
//   - Wrong passwords there slow down the session in which they are typed and no
//     other, and end it at SignInPolicy.DisableAtFailures in a row. All sessions of
//     an account together have SignInPolicy.ConfirmTriesPerDay, 200, so many give
//     few more guesses than one, and one does not use up those of all. Signing in
//     anew confirms too, and a new password brings new tries.
//   - A link decides nothing, whatever a mail scanner does with it: opened, or
//     its form sent, it leads to a page that asks. There nothing is chosen
//     beforehand, so that form, sent as it is, decides nothing either; and the
//     POST proves anew that the link counts and that the account is as it was.
//   - The login email changes when somebody who reads the new mailbox says so,
//     or, for what staff asked for, somebody who reads the present one. The link
//     is spent once, by the commit that changes the email, and is worth nothing
//     once the account has changed in what proves its person. Who asks does not
//     learn whether somebody else has the address.
//   - Every notice of a change goes through Notify and can freeze the account,
//     whatever has changed since and for as long as Lifetimes.FreezeLink. Only
//     addresses that were the account's own get such a link. It does nothing
//     else: it shows no address but its own, and signs nobody in.
//   - Nobody gets into a frozen account and no letter opens it, until the
//     practice has helped (Unfreeze). That ends the links of all notices so far,
//     so whoever still reads an old mailbox does not lock the person out again.
//   - Nothing that a thief knew or set opens an account that was frozen: with
//     Unfreeze the password goes, and what is not older than the oldest notice
//     whose link worked when it was frozen, whichever was used: the answer,
//     passkeys, the app, recovery codes. That can be the person's own, so
//     UnfreezingRemoves tells before. Then nobody has a password, and the way in
//     is that of somebody who has forgotten it. The addresses of the last days
//     are told.
//   - Every address that an account had is kept as its own (former_emails). What
//     practices gave to one lapses with it, whoever replaces it.
//   - A password and an answer are never the same: HashPassword compares a new
//     password with the answer in all spellings, SetQuestion a new answer with
//     the password in those that somebody would try.
//   - A login email is compared in one normal form only, see NormalizeEmail.
//   - The sign-in history is the audit trail, as the person may see it: staff
//     have no names in it and no addresses, which question was asked stands
//     nowhere, and of other addresses only the beginning. Failed sign-ins, which
//     anybody can cause, have one line of each sort in an hour, so they push
//     nothing else away.
//   - No name that is invisible, or turns the text around it, is ever stored,
//     whoever brings it: Create and ChangeNames refuse it.
//   - Connected apps are listed by the grants that can still be used and by
//     consent, not by sessions: a session that ran into its idle limit is gone
//     from the devices, while an app that it let in may go on.
//   - An invitation is spent once, by the commit that makes the account active.
//     A GET of its link, by whomever, changes nothing.
package account
