// Package mailbox is the demo's mailbox: it takes every mail by SMTP, delivers
// none, and shows them on pages and as JSON. It stands in for the mail server
// of a real installation, so the provider's ordinary mail code is what runs.
//
// Routes: GET / · /messages/{id} · /messages/{id}/html · /api/messages ·
// /demo.json, POST /empty, DELETE /api/messages.
//
// Promises:
//   - A mail is on disk, synced, before SMTP answers 250, when a folder is
//     given: killing the process loses nothing that was acknowledged.
//   - A mail is a stranger's text: its HTML is shown in a sandboxed frame of
//     its own, without scripts, forms or remote content.
package mailbox
