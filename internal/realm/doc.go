// Package realm names the front doors.
//
// A realm is an issuer with its own accounts, clients, keys, look and
// policies. A [Realm] is an immutable value: config builds it once, the router
// resolves host and path to it once per request ([Set.Resolve]) and puts it in
// the context ([WithRealm]); handlers take it out ([From]) and pass it on as an
// argument. Nobody changes one: a reloaded configuration is a new [Set].
//
// The issuer in the configuration decides every URL that is shown, mailed or
// signed ([Realm.URL]). The Host header only chooses the door; it never becomes
// part of an answer.
//
// [Defaults] is the one place where the default of every lifetime and policy is
// written. The package does no I/O and knows no database.
package realm
