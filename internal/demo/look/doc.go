// Package look gives the demo's portals and mailbox one appearance: the
// stylesheet, the page frame, the response headers and the way times are
// written. It holds no behaviour of its own and knows nothing of the provider:
// a portal elsewhere would bring its own look.
//
// Routes (mounted by whoever uses it): GET /static/{hash}/{file}.
//
// Promises: a page is rendered to memory before its status line is sent;
// nothing is inline, so the Content-Security-Policy needs no exception;
// every page works without JavaScript.
package look
