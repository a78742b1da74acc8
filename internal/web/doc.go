// Package web turns views and errors into responses.
//
// A room's handler is a func(*gin.Context) error mounted with Handle. It reads
// what was posted with NewForm, shows a page with Pages.Render, or returns an
// error: an *Error has a page of its own, everything else is logged once and
// answered with the error page and its reference.
//
// Pages.Middleware goes around every route of a realm, the OAuth machine
// endpoints included: request id, security headers, body limit, language,
// request log by route template, panics. Pages.Protect goes around the routes
// that people's forms post to: it refuses what another site sent.
//
// What it promises:
//
//   - A page is complete before the status line is written. A template that
//     fails leaves an error page, never half a page.
//   - Templates and the operator's replacements are parsed, escaped and checked
//     when the server starts.
//   - No page runs inline script or style, and nothing is loaded from elsewhere
//     but a logo the realm names (Content-Security-Policy).
//   - A form works only in the browser that was given it, and only from the
//     realm's own origin. The sign-in and forgot-password forms are no
//     exception: being signed in by somebody else is an attack too.
//   - Logs hold the route ("/reset/:token"), never the path or the query.
//   - The client's address is read from X-Forwarded-For only as far as trusted
//     proxies vouch for it.
//
// Cookies, all "__Host-", Secure, HttpOnly, SameSite=Lax and named after the
// realm: "-flow" knows the browser for the length of a journey (Browser), and
// "-lang" remembers a language somebody chose. The session cookie belongs to
// package session.
//
// Routes it serves itself: /static/{hash}/{file} and /static/theme-{hash}.css.
package web
