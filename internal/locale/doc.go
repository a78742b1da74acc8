// Package locale speaks the languages of the pages and the mails.
//
// It owns the catalog (one flat JSON file per language under locales/), the
// choice between languages, and dates as people write them. It does not know
// requests: which language a visitor gets is decided in package web.
//
// # A further language
//
// is one more file, locales/<tag>.json, in templates_dir or built in, and its
// tag in the locales of a realm; templates/locales/README.md says how to write
// it. No code knows a language by name: the names of months and the order of a
// date are sentences of the file, which plural forms there are is known to
// golang.org/x/text. A regional language (es-MX) needs only what differs from
// its parent. [Catalog.Gaps] tells at start what a file lacks.
//
// # Promises
//
// A missing translation shows the English sentence and is logged, never an
// empty string; a value put into a placeholder is plain text and never read as
// a placeholder again; a Catalog is immutable and safe for concurrent use.
//
// Keys read page.element[.state] in lower snake case. Placeholders are named,
// {email}, and strings hold no markup. A sentence that counts has one key for
// each plural form of its language, key.one and key.other in English, chosen
// by the placeholder n.
package locale
