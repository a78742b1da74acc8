// Package recovery lets people back in who have forgotten their password.
//
// It owns tickets and waivers (tables recovery_* and answer_waivers). A ticket
// is one permission to choose a new password, mailed as a link, valid for 48
// hours at most, spent once. It does not own passwords and security answers
// (account), letters (mail), or who may send a link to whom (admin).
//
// The journey, with its routes relative to the realm:
//
//	GET  /forgot                asks for the email
//	POST /forgot                stores the request, nothing else; 303
//	GET  /forgot/sent           the same answer for everybody
//	     (Worker)               looks the person up, makes the ticket, queues the mail
//	GET  /reset/{token}         step 1; changes nothing, mail scanners open every link
//	POST /reset/{token}         swaps the token for a flow cookie and a clean address
//	GET  /recovery/question     step 2, POST the same
//	GET  /recovery/password     step 3, POST the same; here the ticket is spent
//	GET  /recovery/done         the way back to the portal
//	GET  /recovery/help         for people who cannot answer
//
// Promises:
//
//   - What a POST to /forgot does and answers never depends on whether the
//     address has an account, nor on limits: nobody is looked up before the
//     answer is out. Repeats within five minutes send nothing new; after five
//     links in a day the last one stays valid, so that nobody can keep
//     invalidating it.
//   - The database holds a ticket's token as SHA-256 only, and the letter
//     sealed: reading it yields no link.
//   - The steps are held by the server. Each reads the ticket, the account and
//     the step before from the database and accepts nothing on the browser's
//     word. A newer link, a password, question or email change, a closed
//     account, or too many wrong answers end every older link together with
//     what was started from it.
//   - A try at the question is counted, in a transaction of its own, before it
//     is verified: five per link; ten per account in 24 hours, over all links
//     and replicas, lock recovery for 24 hours. Passwords go on working.
//   - The question is asked behind every link. An account without a question
//     gets a page that says to call, never a way around. The one exception is
//     a waiver: for one link of staff, asked for by one member and approved by
//     another of the same practice, not within a week of a change of the login
//     email, not for a frozen account. It dies with its link. The lock after
//     too many wrong answers stops guessing, so it does not stop a waived link;
//     who may waive may send a link while it lasts.
//   - A ticket is used up by the commit that stores the new password, by a
//     WHERE clause that tests everything again: unused, not voided, not
//     expired, the same email and credential version, the question answered in
//     this browser. Of any number of racing requests exactly one wins.
//   - The journey signs nobody in. Until its end the old password works. It does
//     not need one: Unfreeze leaves an account without, and perhaps without a
//     question. Whoever was helped past it is told to choose one in My Account.
//
// An address whose account is invited, but not active yet, gets a fresh
// invitation instead of a link, within the same limits: whoever lost the first
// letter would not know to ask for anything else; but none whose invitation
// staff have taken back. A disabled or frozen account, an unknown address, and
// an account whose recovery is locked get nothing, and a recovery that was
// started ends when the account is frozen.
package recovery
