// Package secret makes, seals and hides the secrets that machines keep.
//
// Three kinds live here. A [Token] is a random bearer secret that leaves the
// server once, in a cookie or a link; what is stored is its [Token.Hash]. A
// [Text] is a secret that was given to the server, such as an SMTP password.
// A [Sealer] encrypts what has to be read back later (signing keys, letters in
// the outbox) under the key-encryption key, which never is in the database.
//
// The promise of the package: no verb of fmt, no slog handler and no JSON
// encoder prints a Token or a Text. Whoever needs the value calls Reveal, so
// that every place where a secret leaves the program can be found by its name.
//
// Secrets that people type (passwords, answers) are not here: see package
// password.
package secret
