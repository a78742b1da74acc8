package account

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// Visit is who is signed in, for a page of My Account.
type Visit struct {
	Realm   *realm.Realm
	Account Account
	Session *session.Session
}

// ownPages are the addresses return_to may name: pages of My Account, without
// query, so that nothing can be smuggled in.
var ownPages = regexp.MustCompile(`^/account(/[a-z-]+){0,2}$`)

// SignedIn finds the person, or sends the browser to sign in and back to page;
// to the second step, where the realm does not go on without one any more. When
// ok is false the answer is already written.
func (h *Handler) SignedIn(c *gin.Context, page string) (v Visit, ok bool, err error) {
	v.Realm = realm.From(c.Request.Context())
	v.Session, err = h.sessions.Current(c)
	if err != nil {
		return Visit{}, false, fmt.Errorf("find session: %w", err)
	}
	if v.Session != nil {
		v.Account, err = h.service.Find(c.Request.Context(), v.Realm.Name, v.Session.AccountID)
		switch {
		case err == nil && v.Session.Overdue: // the page there knows what is to be done
			c.Redirect(http.StatusSeeOther, v.Realm.Path+"/signin/second?return_to="+url.QueryEscape(page))
			return Visit{}, false, nil
		case err == nil:
			web.PreferLang(c, v.Account.Locale)
			return v, true, nil
		case !errors.Is(err, ErrNotFound):
			return Visit{}, false, err
		}
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/signin?return_to="+url.QueryEscape(page))
	return Visit{}, false, nil
}

// protected is SignedIn for what proves a person: a session that is older than
// the account's second factor proves that one first. Whoever stole the password,
// and such a session, changes nothing with both.
func (h *Handler) protected(c *gin.Context, page string) (v Visit, ok bool, err error) {
	if v, ok, err = h.SignedIn(c, page); !ok {
		return v, false, err
	}
	if h.service.peers.Factors == nil || session.Reaches(v.Session.ACR, session.TwoFactors) {
		return v, true, nil
	}
	has, err := h.service.peers.Factors.Of(c.Request.Context(), v.Account.ID)
	switch {
	case err != nil:
		return Visit{}, false, fmt.Errorf("find second factors: %w", err)
	case has.Any():
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/signin/second?return_to="+url.QueryEscape(page))
		return Visit{}, false, nil
	}
	return v, true, nil
}

// Confirmed is SignedIn for what proves a person: whoever has a second factor
// has proved it in this session, and whoever has not typed the password, or used
// a passkey, within Lifetimes.Reauthentication is sent to do so and then back to
// page. A POST is refused in this way too, and has changed nothing: an open
// browser is not enough.
func (h *Handler) Confirmed(c *gin.Context, page string) (v Visit, ok bool, err error) {
	if v, ok, err = h.protected(c, page); !ok {
		return v, false, err
	}
	if !h.service.confirmedLately(c.Request.Context(), v) {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account/confirm?return_to="+url.QueryEscape(page))
		return Visit{}, false, nil
	}
	return h.stillOpen(c, v, page)
}

// stillOpen makes sure that the session was open when the account was read. It
// is found before the account: were both ended in between, by a reset say, a
// thief's session would go on with the version of the account that ended it.
func (h *Handler) stillOpen(c *gin.Context, v Visit, page string) (Visit, bool, error) {
	open, err := h.sessions.List(c.Request.Context(), v.Realm, v.Account.ID)
	if err != nil {
		return Visit{}, false, err
	}
	for _, s := range open {
		if s.ID == v.Session.ID {
			return v, true, nil
		}
	}
	return Visit{}, false, h.sessionOver(c, v.Realm, page)
}
