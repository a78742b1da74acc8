// Package audit keeps what happened.
//
// It owns the tables audit_events, audit_unchained, audit_chain and
// audit_head. It has no routes. Every package that does something worth
// knowing records it in the transaction that does it.
//
// What it promises:
//
//   - An event and what it tells of are one transaction: when the event cannot
//     be written, the action does not happen.
//   - Events are never changed. Triggers refuse UPDATE and DELETE on both
//     engines; only after six years an event may be removed (45 CFR 164.316).
//   - What gets around the triggers is found. Shortly after its transaction an
//     event is sealed into a chain: each link is an HMAC over the event and the
//     link before it, under a key that is not in the database. [Log.Verify]
//     finds an event that was removed, altered, added by hand or moved, and a
//     chain whose end was cut off.
//   - No secret is in the details: values of type secret.Token and secret.Text
//     print as "[redacted]", so does what stands under a key that names a
//     secret, and whatever looks like one of our tokens.
//
// The chain is made by a worker rather than by the transaction itself, because
// a chain written in place would let only one transaction of the whole
// installation run at a time. Replicas elect a leader for each pass by locking
// the row of audit_head. Whoever can write to the database in the seconds
// before an event is sealed can remove it together with its entry in the
// queue; afterwards no longer. The head that the worker logs once an hour is a
// copy of the chain's end outside of the database.
package audit
