// Package password hashes and judges the secrets that people type: passwords
// and the answers to security questions.
//
// A [Hasher] turns them into Argon2id hashes in PHC string format, keyed with a
// pepper that is not in the database. Hashing is slow and large on purpose, so
// it happens in two bounded pools, one for passwords and one for answers:
// a flood of guesses fills a short queue and is then told [ErrBusy], while
// memory stays flat and the other endpoints stay quick.
//
// A [Blocklist] judges new passwords by the rules of NIST SP 800-63B-4
// §3.1.1.2: long enough, not too long, and not easy to guess. There are no
// composition rules and nothing expires.
//
// Neither passwords nor answers appear in an error of this package.
package password
