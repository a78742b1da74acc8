// Package templates holds what people see: the pages, the letters, their
// sentences in each language, the stylesheet and the script.
//
//	layout.html              the frame of every page
//	partials.html            fields, error summary, rows: the parts pages share
//	pages/<room>/<page>.html one page per file, beside the room's handler in internal/<room>
//	mail/<kind>.{txt,html}   letters
//	locales/<lang>.json      every sentence, flat keys
//	static/                  stylesheet, script, logo
//
// An operator replaces any of these file by file with a folder of the same
// shape; internal/web checks the replacements when the server starts.
package templates

import "embed"

// FS is the folder as it was built in.
//
//go:embed layout.html partials.html all:pages all:mail all:locales all:static
var FS embed.FS
