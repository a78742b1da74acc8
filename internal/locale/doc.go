// Package locale speaks the languages of the pages and the mails.
//
// It owns the catalog (one flat JSON file per language under locales/), the
// choice between languages, and dates as people write them. It does not know
// requests: which language a visitor gets is decided in package web.
//
// Promises: a missing translation shows the English sentence and is logged,
// never an empty string; a value put into a placeholder is plain text and
// never read as a placeholder again; a Catalog is immutable and safe for
// concurrent use.
//
// Keys read page.element[.state] in lower snake case. Placeholders are named,
// {email}, and strings hold no markup. A sentence that counts has two keys,
// key.one and key.other, chosen by the placeholder n.
package locale
