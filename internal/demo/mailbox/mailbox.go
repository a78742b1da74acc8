package mailbox

import (
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/portico-id/portico/internal/demo/look"
)

//go:embed pages
var files embed.FS

// Options of a mailbox.
type Options struct {
	Dir   string // keeps the mails; "" keeps them in memory only
	Host  string // how the SMTP server introduces itself
	Facts any    // the document GET /demo.json answers; nil: none
	Zone  *time.Location
	Log   *slog.Logger
}

// Mailbox takes mail and shows it.
type Mailbox struct {
	store *store
	smtp  *smtp.Server
	pages *look.Pages
	facts []byte
	http  http.Handler
	log   *slog.Logger
}

// Open returns a mailbox with the mails its folder holds.
func Open(o Options) (*Mailbox, error) {
	kept, err := openStore(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	m := &Mailbox{store: kept, smtp: newSMTP(kept, o.Host, o.Log), log: o.Log}
	if m.facts, err = json.MarshalIndent(o.Facts, "", "  "); err != nil {
		return nil, err
	}
	m.pages, err = look.Parse(files, "pages", template.FuncMap{
		"moment": func(t time.Time) string { return look.Moment("en", t, o.Zone) },
		"clock":  func(t time.Time) string { return t.In(o.Zone).Format("Jan 2, 15:04:05") },
		"links":  links,
	})
	if err != nil {
		return nil, err
	}
	m.http = http.NewCrossOriginProtection().Handler(m.mount())
	return m, nil
}

func (m *Mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.http.ServeHTTP(w, r) }

func (m *Mailbox) mount() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", m.list)
	pages.HandleFunc("GET /messages/{id}", m.show)
	pages.HandleFunc("POST /empty", m.emptyPage)
	pages.HandleFunc("GET /static/", look.Static)
	pages.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { m.missing(w) })

	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/messages", m.apiList)
	mux.HandleFunc("DELETE /api/messages", m.apiEmpty)
	mux.HandleFunc("GET /demo.json", m.demo)
	mux.HandleFunc("GET /messages/{id}/html", m.html)
	mux.Handle("/", look.Headers(pages))
	return mux
}

func (m *Mailbox) list(w http.ResponseWriter, r *http.Request) {
	m.render(w, http.StatusOK, "list.html", &look.Page{Title: "Developer mailbox", Wide: true, View: m.store.all()})
}

func (m *Mailbox) show(w http.ResponseWriter, r *http.Request) {
	mail, ok := m.store.find(r.PathValue("id"))
	if !ok {
		m.missing(w)
		return
	}
	view := struct {
		Message
		Fields []field
	}{mail, mail.fields}
	m.render(w, http.StatusOK, "message.html", &look.Page{Title: mail.Subject, Wide: true, View: view})
}

// html serves a mail's HTML part for the frame on its page. The mail is a
// stranger's: a sandbox without scripts or forms, even when opened by itself.
func (m *Mailbox) html(w http.ResponseWriter, r *http.Request) {
	mail, ok := m.store.find(r.PathValue("id"))
	if !ok || mail.HTML == "" {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "+
		"style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, openLinksOutside(mail.HTML))
}

// openLinksOutside makes links leave the frame: the provider's pages refuse to
// be shown in one.
func openLinksOutside(html string) string {
	const base = `<base target="_blank">`
	if at := strings.Index(strings.ToLower(html), "<head>"); at >= 0 {
		at += len("<head>")
		return html[:at] + base + html[at:]
	}
	return base + html
}

func (m *Mailbox) emptyPage(w http.ResponseWriter, r *http.Request) {
	if err := m.store.empty(); err != nil {
		m.log.Error("mailbox", "error", err)
		http.Error(w, "The mailbox could not be emptied", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (m *Mailbox) apiList(w http.ResponseWriter, r *http.Request) {
	all := m.store.all()
	if all == nil {
		all = []Message{}
	}
	body, err := json.Marshal(all)
	if err != nil {
		http.Error(w, "The mails could not be written", http.StatusInternalServerError)
		return
	}
	writeJSON(w, body)
}

func (m *Mailbox) apiEmpty(w http.ResponseWriter, r *http.Request) {
	if err := m.store.empty(); err != nil {
		m.log.Error("mailbox", "error", err)
		http.Error(w, "The mailbox could not be emptied", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (m *Mailbox) demo(w http.ResponseWriter, r *http.Request) { writeJSON(w, m.facts) }

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(body, '\n'))
}

func (m *Mailbox) missing(w http.ResponseWriter) {
	m.render(w, http.StatusNotFound, "missing.html", &look.Page{Title: "That mail is not here"})
}

func (m *Mailbox) render(w http.ResponseWriter, status int, name string, page *look.Page) {
	page.Site, page.SiteName, page.Lang, page.Skip = "mailbox", "Developer mailbox", "en", "Skip to main content"
	page.Footer = []string{"Scripts read GET /api/messages and GET /demo.json."}
	if err := m.pages.Render(w, status, name, page); err != nil {
		m.log.Error("mailbox", "error", err)
		http.Error(w, "Something went wrong", http.StatusInternalServerError)
	}
}
