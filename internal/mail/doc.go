// Package mail delivers letters, even after a crash.
//
// It owns the outbox (table mail_outbox), the worker that empties it, the
// letters' templates (templates/mail, sentences under mail. in the locales)
// and the SMTP client. It has no routes, and no request ever talks SMTP.
//
// A letter's way: [Outbox.Queue] writes it in the transaction that causes it.
// The worker claims it by a lease, renders it in the recipient's language,
// hands it to the SMTP server and records the outcome:
//
//	queued → sent       the server took it
//	       → failed     the server refused it for good (5xx), or it cannot be sent at all
//	       → expired    not delivered before NotAfter: a dead link is never sent
//	       → cancelled  what it tells of was called off
//
// What it promises:
//
//   - A letter that was queued is delivered at least once. A crash between the
//     server's "250" and the record of it repeats the letter, with the same
//     Message-ID, so that mailboxes can drop the second one.
//   - Any number of replicas may run the worker. A lease, renewed while the
//     letter is being sent, keeps a letter with one of them; who loses the
//     lease stops sending, and the number of the attempt fences off what it
//     might still record.
//   - What a letter says, its link above all, is sealed in the row under the
//     key-encryption key, bound to the realm and the row, and erased when the
//     letter is finished. The database, its backups, logs and traces hold no
//     link.
//   - SMTP is encrypted and the server's certificate verified. Only a server
//     on this very machine may be spoken to without.
//   - Letters never name a patient. Queue keeps only the values that the kind
//     of letter has a place for.
//
// A server that is down is tried again with growing pauses until NotAfter.
package mail
