// Package password hashes and judges the secrets that people type: passwords
// and the answers to security questions.
//
// A [Hasher] turns them into Argon2id hashes in PHC string format, keyed with a
// pepper that is not in the database. Hashing is slow and large on purpose, so
// it happens in two bounded pools, one for passwords and one for answers:
// a flood of guesses fills a short queue and is then told [ErrBusy], while
// memory stays flat and the other endpoints stay quick.
//
// Hashes of other systems may be stored in the place of a password's hash, so
// that people who were moved here sign in with the password they have. They are
// verified in the same pools and are to be replaced at the first match: Verify
// says so. [CheckImported] tells an importer which are accepted; the limits keep
// an import file from choosing what a sign-in costs, and allow about a second of
// one core and 256 MiB:
//
//	bcrypt      $2a$, $2b$, $2y$                        cost up to 14
//	PBKDF2      $pbkdf2-sha256$i=600000,l=32$salt$hash  2,000,000 iterations, times the
//	            $pbkdf2-sha256$29000$salt$hash          blocks of output; sha1, sha256, sha512
//	            pbkdf2_sha256$1000000$salt$hash         ($pbkdf2$ is passlib's sha1)
//	scrypt      $scrypt$ln=17,r=8,p=1$salt$hash         N·r·p up to 2^21, 256 MiB
//	Argon2i/id  $argon2id$v=19$m=65536,t=3,p=4$…        256 MiB, memory times passes 1 GiB,
//	                                                    16 lanes; version 1.3, no key, no data
//
// Salts have 1 to 128 bytes and hashes 16 to 64. Argon2d, which is not meant for
// passwords, is refused, as is everything else, with ErrHash and the reason.
// Three things are the old system's: the password goes in as it was typed,
// without normalising; bcrypt sees 72 bytes of it; and there is no pepper. All
// three end with the first sign-in. Passwords that could not be set here
// (control characters, over 256 code points) do not match: their owners choose
// a new one by mail.
//
// An imported hash takes another time to verify than ours. While there are any,
// failed verifications last as long as the slowest kind does, so that time does
// not tell who has an account.
//
// A [Blocklist] judges new passwords by the rules of NIST SP 800-63B-4
// §3.1.1.2: long enough, not too long, and not easy to guess. There are no
// composition rules and nothing expires. It knows a built-in list, text files of
// the operator's, and filters: [BuildFilter] packs a breach corpus of any size
// into about 2.5 bytes a password.
//
// Neither passwords nor answers appear in an error of this package.
package password
