package account

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// Practices tells what practices are called. practice has it.
type Practices interface {
	Names(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error)
}

const historyPage = 20

// Happened is one line of the sign-in history: an event of the audit trail as
// the person may see it. Staff have no names here, and no addresses; which
// question was asked stands nowhere.
type Happened struct {
	At      time.Time
	Key     string // of its sentence
	Args    []any  // pairs for its placeholders
	Device  string // "" when nothing is known of it
	Network string // the beginning of the address, "" when there is none
}

// who is behind an event, seen from the account that it is about.
type who int

const (
	nobody   who = iota // the system, or somebody who was not signed in
	yourself            // the person of the account
	staff               // anybody else
)

func behind(e audit.Entry, self string) who {
	switch {
	case e.Actor == self:
		return yourself
	case e.PracticeID != "" || e.Actor != "anonymous" && e.Actor != "system" && e.Actor != "":
		return staff
	}
	return nobody
}

// History is a page of what happened to an account, newest first, and where the
// next page begins: nil when there is none.
func (s *Service) History(ctx context.Context, r *realm.Realm, a Account, from audit.Place) ([]Happened, *audit.Place, error) {
	events, err := s.happened(ctx, r, a, from)
	if err != nil {
		return nil, nil, err
	}
	var next *audit.Place
	if len(events) > historyPage {
		events = events[:historyPage]
		place := events[historyPage-1].Place()
		next = &place
	}
	apps, practices, err := s.namesIn(ctx, r, events)
	if err != nil {
		return nil, nil, err
	}
	var lines []Happened
	for _, e := range events {
		by := behind(e.Entry, a.Actor())
		key := e.key
		if key == "" {
			key = told[e.Kind](e.Entry, by)
		}
		if key == "" {
			continue
		}
		line := Happened{At: e.At, Key: key, Args: []any{"app", apps[e.ClientID], "practice", practices[e.PracticeID], "n", e.times}}
		if by != staff {
			line.Device, line.Network = e.Text("device"), network(e.IP)
		}
		lines = append(lines, line)
	}
	return lines, next, nil
}

// appOf and practiceOf stand in a sentence until the language is known.
type (
	appOf      struct{ app App }
	practiceOf struct{ name string }
)

// namesIn finds what the apps and practices of a page are called, in a query
// each.
func (s *Service) namesIn(ctx context.Context, r *realm.Realm, events []occurrence) (map[string]appOf, map[string]practiceOf, error) {
	apps, practices := map[string]appOf{}, map[string]practiceOf{}
	var clients []string
	var clinics []uuid.UUID
	for _, e := range events {
		if _, seen := apps[e.ClientID]; !seen && e.ClientID != "" {
			apps[e.ClientID] = appOf{App{ClientID: e.ClientID, Name: e.ClientID}}
			clients = append(clients, e.ClientID)
		}
		if _, seen := practices[e.PracticeID]; !seen && e.PracticeID != "" {
			practices[e.PracticeID] = practiceOf{}
			if id, err := uuid.Parse(e.PracticeID); err == nil {
				clinics = append(clinics, id)
			}
		}
	}
	if s.peers.Apps != nil && len(clients) > 0 {
		found, err := s.peers.Apps.Names(ctx, r, clients)
		if err != nil {
			return nil, nil, fmt.Errorf("find names of apps: %w", err)
		}
		for id, app := range found {
			apps[id] = appOf{app}
		}
	}
	if s.peers.Practices != nil && len(clinics) > 0 {
		found, err := s.peers.Practices.Names(ctx, clinics)
		if err != nil {
			return nil, nil, fmt.Errorf("find names of practices: %w", err)
		}
		for id, name := range found {
			practices[id.String()] = practiceOf{name}
		}
	}
	return apps, practices, nil
}

// network is the beginning of an address: /24 of IPv4, /48 of IPv6. More would
// tell too much about whoever tried to get in, and nothing to the person.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		prefix, err := netip.ParsePrefix(ip)
		if err != nil {
			return ""
		}
		addr = prefix.Addr()
	}
	if addr = addr.Unmap(); addr.Is4() {
		b := addr.As4()
		return fmt.Sprintf("%d.%d.%d.x", b[0], b[1], b[2])
	}
	b := addr.As16()
	return fmt.Sprintf("%x:%x:%x:x", int(b[0])<<8|int(b[1]), int(b[2])<<8|int(b[3]), int(b[4])<<8|int(b[5]))
}

// historyView is templates/pages/account/history.html.
type historyView struct {
	Lines        []historyLine
	Older        string // place of the next page
	NotTheNewest bool
}

type historyLine struct {
	At                    time.Time
	What, Device, Network string
}

func (h *Handler) historyPage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/history")
	if !ok {
		return err
	}
	from, err := audit.ParsePlace(c.Query("before"))
	if err != nil {
		return web.NotFound()
	}
	lines, next, err := h.service.History(c.Request.Context(), v.Realm, v.Account, from)
	if err != nil {
		return err
	}
	view := historyView{NotTheNewest: from != (audit.Place{})}
	if next != nil {
		view.Older = next.String()
	}
	for _, l := range lines {
		view.Lines = append(view.Lines, historyLine{At: l.At, What: h.say(web.Lang(c), l), Device: l.Device, Network: l.Network})
	}
	return h.pages.Render(c, http.StatusOK, "account/history.html", view)
}

// say puts the names of apps and practices into a sentence.
func (h *Handler) say(lang string, l Happened) string {
	args := make([]any, len(l.Args))
	for i, arg := range l.Args {
		switch arg := arg.(type) {
		case appOf:
			args[i] = h.appName(lang, arg.app)
		case practiceOf:
			if args[i] = arg.name; arg.name == "" {
				args[i] = h.service.catalog.T(lang, "history.some_practice")
			}
		default:
			args[i] = arg
		}
	}
	return h.service.catalog.T(lang, l.Key, args...)
}

// appName says of an app that gave itself its name that it did so.
func (h *Handler) appName(lang string, a App) string {
	if a = a.in(lang); a.Registered {
		return h.service.catalog.T(lang, "apps.unverified_name", "app", a.Name)
	}
	return a.Name
}
