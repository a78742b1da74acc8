// Package factor knows the second proofs of a person: codes of an authenticator
// app (TOTP, RFC 6238), passkeys (WebAuthn) and recovery codes.
//
// It owns the tables totp_secrets, totp_setups, passkeys, passkey_handles,
// recovery_codes and spent_challenges, and the pages of My Account on which
// people look after them. It does not own the sign-in: signin asks it what an
// account has and whether a proof is right, and decides what that is enough
// for.
//
// Routes, relative to the realm:
//
//	GET       /account/second-step                     what there is
//	GET, POST /account/second-step/app                 set an authenticator app up
//	GET, POST /account/second-step/app/remove
//	GET, POST /account/second-step/passkey             add a passkey
//	GET, POST /account/second-step/passkey/{id}/rename
//	GET, POST /account/second-step/passkey/{id}/remove
//	GET, POST /account/second-step/codes               new recovery codes, shown once
//
// Promises:
//
//   - A code works once, whatever runs in parallel: the time step of an
//     authenticator app and a recovery code are spent by a WHERE clause. Codes
//     of the neighbouring time steps are accepted, by the database's clock.
//   - A try at a code is counted before it is verified, per account and over
//     all sign-ins, networks and replicas. Right codes do not count, and make no
//     wrong one forgotten. A caller that counts too does so in between, so that
//     what is turned away here costs nothing there. Browsers that have passed the
//     second step before have tries of their own, all together as many as all
//     strangers.
//   - Secrets of authenticator apps are sealed under the key-encryption key,
//     bound to realm, account and row. Recovery codes are stored as an HMAC
//     under a key that is not in the database. Reading the database signs
//     nobody in.
//   - An authenticator app counts from its first right code on. Its secret belongs
//     to the session, or the sign-in that waits, that was shown it, which sees the
//     same one for twenty minutes: looking at the page again, in another tab or by
//     a browser that reads ahead, changes nothing. Nobody else is shown it or
//     confirms it.
//   - A passkey is always one that verifies its person, so it is two factors in
//     one. Its answer counts in the realm, the browser and for the purpose it
//     was asked for, for five minutes, and once. Realms that share a host do not
//     know each other's passkeys.
//   - A passkey that is bound to its device and whose sign count does not grow
//     has been copied: it is refused and reported.
//   - To change anything the person has proved the password a short time ago,
//     and, once there is a second factor, that one too in this session. A first
//     factor and the session it makes stronger are one transaction: of two who
//     add one at the same time one does. Whoever was thrown out of the account
//     leaves nothing behind with a form that was on its way.
//   - Every change, and every recovery code that is used, is told to the person
//     by mail and recorded, in the same transaction. Where the realm demands a second factor of an
//     account, its last one stays.
//
// A session in which a factor is added becomes one of two factors and gets a
// new token. Other sessions go on, whatever is added or removed: a factor that
// is added says nothing about them, and who signs in anew needs it at once. The
// overview offers to end them (ASVS 5.0 V7.4.3). Only when the practice removes
// everything for somebody who has lost it, all sessions and grants end.
//
// RemoveSince is for an account that was in other hands from a time on: what was
// added since goes when the practice opens it again, what is older stays. AddedSince
// tells before whether there is anything.
//
// Links for resetting a password survive a change of factors: they lead to a
// new password, and the second step is asked for after it.
package factor
