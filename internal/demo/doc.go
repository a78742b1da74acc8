// Package demo is the newcomer's command: the provider on the embedded
// database, two portals, a mailbox and seeded people, in one process that needs
// no other set-up.
//
// It owns the fixed addresses and the flags that change them, the secrets of a
// demo (made once, never shipped), the provider's configuration for these
// addresses, the order of starting and stopping, and what is printed. The
// provider itself is started by a function that cmd/demo hands in; portals and
// mailbox reach it over HTTP and SMTP only.
//
// Routes: those of patientportal, practiceportal and mailbox, each on a port of
// its own.
//
// Portals and mailbox answer to names of this machine only, so that a page whose
// name was made to lead here reads nothing (DNS rebinding).
//
// Promises: with a folder (-data) everything is kept, the mailbox's mails
// included; without one, nothing is left behind. A port that is taken is named
// with the flag that changes it, before anything has been written.
package demo
