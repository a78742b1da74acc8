// Package ratelimit says "not now".
//
// It owns counters in the database, so that all replicas count together and a
// restart forgets nothing. It has no routes. The packages that check a
// password, an answer or a code ask it first.
//
// What it promises:
//
//   - An attempt is counted before it is verified, in a transaction of its
//     own, so that undoing the request does not undo the count. Calling it
//     inside a transaction is refused with [ErrInTransaction].
//   - Of any number of parallel callers exactly as many are let through as the
//     limit says, on every replica together.
//   - Refused attempts do not count, so somebody who keeps knocking does not
//     keep the door shut for longer.
//
// Keys are the caller's: name what is limited, the realm and the canonical
// identifier ("answer/patient/<account id>", "mail/<network>"), never an
// unchecked header. Use one window per key.
//
// [Limiter.Allow] is a plain limit; [Limiter.Delay] makes each failed sign-in
// wait longer than the one before; [Limiter.Streak] stops after so many
// failures in a row. [Limiter.GiveBack] takes back what one of the latter two
// counted, when nothing was verified.
package ratelimit
