package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// What callers test with errors.Is.
var (
	// ErrNamesFixed says that people do not name themselves in a realm.
	ErrNamesFixed = errors.New("the realm's practices keep the names")
	// ErrName says that a text is no name this system accepts.
	ErrName = errors.New("not a name")
	// ErrNameLong says that a name is longer than 100 characters. It is an
	// ErrName.
	ErrNameLong = fmt.Errorf("%w: it is too long", ErrName)
	// ErrNameCharacters says that a name has no letter, or characters that
	// nobody sees and that change how text around them is read. It is an
	// ErrName.
	ErrNameCharacters = fmt.Errorf("%w: it has characters that no name has", ErrName)
	// ErrNameEmpty says that no name is left.
	ErrNameEmpty = errors.New("the name is empty")
)

// maxName is the longest name, in characters.
const maxName = 100

// Names are what a person is called. Display is what clients are told as the
// name (OpenID Connect Core §5.1); "" makes it given and family name.
type Names struct{ Given, Family, Display string }

// NamesFixed reports whether practices keep the names of a realm's people, as
// they do for their own staff.
func NamesFixed(r *realm.Realm) bool { return r.Kind == realm.Practice }

// NormalizeName turns what somebody typed into the form in which names are
// stored: NFC, single spaces. "" stays "". It returns ErrNameLong or
// ErrNameCharacters.
func NormalizeName(s string) (string, error) {
	if len(s) > 8*maxName {
		return "", ErrNameLong
	}
	if !utf8.ValidString(s) {
		return "", ErrNameCharacters
	}
	s = norm.NFC.String(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\u00a0' }), " "))
	letter := s == ""
	for _, r := range s {
		if !nameRune(r) {
			return "", ErrNameCharacters
		}
		letter = letter || unicode.IsLetter(r)
	}
	switch {
	case !letter:
		return "", ErrNameCharacters
	case utf8.RuneCountInString(s) > maxName:
		return "", ErrNameLong
	}
	return s, nil
}

func normalizeNames(names ...*string) (err error) {
	for _, name := range names {
		if *name, err = NormalizeName(*name); err != nil {
			return err
		}
	}
	return nil
}

// nameRune refuses control characters, line ends, and all that is invisible
// (bidirectional overrides among it), but for the two joiners that Persian and
// Indic names are written with.
func nameRune(r rune) bool {
	switch {
	case r == ' ' || r == '\u200c' || r == '\u200d':
		return true
	case r == utf8.RuneError:
		return false
	}
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Z, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// ChangeNames gives a person other names. version is the Version that the
// person has seen: ErrVersion when the account has changed since. Staff's search
// finds the new name from the same moment on.
func (s *Service) ChangeNames(ctx context.Context, r *realm.Realm, accountID uuid.UUID, version int64, n Names, by By) error {
	if NamesFixed(r) {
		return ErrNamesFixed
	}
	if err := normalizeNames(&n.Given, &n.Family, &n.Display); err != nil {
		return err
	}
	if n == (Names{}) {
		return ErrNameEmpty
	}
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		if a.Version != version {
			return ErrVersion
		}
		if (Names{a.GivenName, a.FamilyName, a.Name}) == n {
			return nil
		}
		if err := s.storeNames(ctx, a, n); err != nil {
			return err
		}
		if s.peers.Directory != nil {
			if err := s.peers.Directory.Reindex(ctx, a.ID); err != nil {
				return fmt.Errorf("reindex: %w", err)
			}
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "profile.changed", Actor: by.Actor, Target: a.Actor(),
			PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
			Details: by.Details(map[string]any{"given_name": a.GivenName != n.Given, "family_name": a.FamilyName != n.Family,
				"name": a.Name != n.Display, "device": by.Device})})
	})
	if err != nil {
		return fmt.Errorf("change names: %w", err)
	}
	return nil
}

func (s *Service) storeNames(ctx context.Context, a Account, n Names) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET given_name = $3, family_name = $4, name = $5, version = version + 1, updated_at = $6
		WHERE id = $1 AND version = $2`, a.ID, a.Version, n.Given, n.Family, n.Display, s.db.Now(ctx))
	if err := database.ExactlyOne(rows, err, ErrVersion); err != nil {
		return fmt.Errorf("store names: %w", err)
	}
	return nil
}

// profileView is templates/pages/account/profile.html.
type profileView struct {
	Form    web.Form
	Fixed   bool // shown only, not to be changed
	Names   Names
	Email   string
	Version int64
	Done    bool
}

func (h *Handler) profilePage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/profile")
	if !ok {
		return err
	}
	view := profileOf(v)
	view.Done = c.Query("done") == "names"
	view.Form.Set("given-name", v.Account.GivenName)
	view.Form.Set("family-name", v.Account.FamilyName)
	view.Form.Set("display-name", v.Account.Name)
	return h.pages.Render(c, http.StatusOK, "account/profile.html", view)
}

func profileOf(v Visit) profileView {
	return profileView{Fixed: NamesFixed(v.Realm), Email: v.Account.LoginEmail, Version: v.Account.Version,
		Names: Names{v.Account.GivenName, v.Account.FamilyName, v.Account.Name}}
}

func (h *Handler) changeProfile(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/profile")
	if !ok {
		return err
	}
	if NamesFixed(v.Realm) {
		return web.Forbidden(ErrNamesFixed)
	}
	version, err := strconv.ParseInt(c.PostForm("version"), 10, 64)
	if err != nil {
		return web.BadRequest(fmt.Errorf("version: %w", err))
	}
	form := web.NewForm(c, "given-name", "family-name", "display-name")
	// As it was typed: NewForm mends what is no text, and that has to be refused.
	for _, field := range []string{"given-name", "family-name", "display-name"} {
		switch _, err := NormalizeName(c.PostForm(field)); {
		case errors.Is(err, ErrNameLong):
			form.Add(field, "profile.error.long", "n", maxName)
		case err != nil:
			form.Add(field, "profile.error.characters")
		}
	}
	if form.OK() {
		err = h.service.ChangeNames(c.Request.Context(), v.Realm, v.Account.ID, version, Names{
			c.PostForm("given-name"), c.PostForm("family-name"), c.PostForm("display-name")}, byPerson(c, v.Account))
		switch {
		case errors.Is(err, ErrNameEmpty):
			form.Add("given-name", "profile.error.empty")
		case errors.Is(err, ErrVersion):
			if v.Account, err = h.service.Find(c.Request.Context(), v.Realm.Name, v.Account.ID); err != nil {
				return err
			}
			form.Add("", "profile.error.changed", "name", v.Account.DisplayName())
		case err != nil:
			return err
		}
	}
	if !form.OK() {
		view := profileOf(v)
		view.Form = form
		return h.pages.Render(c, http.StatusUnprocessableEntity, "account/profile.html", view)
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account/profile?done=names")
	return nil
}
