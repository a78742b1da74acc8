package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// confirmedLately reports whether the person of a session has proved the
// password, or a passkey, a short time ago.
func (s *Service) confirmedLately(ctx context.Context, v Visit) bool {
	return s.db.Now(ctx).Sub(v.Session.ConfirmedAt) < v.Realm.Lifetimes.Reauthentication
}

// ConfirmSession has a person who is signed in prove the current password, and
// returns the session's new token. It returns what confirm says.
func (s *Service) ConfirmSession(ctx context.Context, r *realm.Realm, a Account, sessionID uuid.UUID, current string, by By) (secret.Token, error) {
	if err := s.confirm(ctx, r, a, sessionID, current, by); err != nil {
		return secret.Token{}, err
	}
	var token secret.Token
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		now, err := s.Lock(ctx, r.Name, a.ID)
		if err != nil {
			return err
		}
		if !Unchanged(now, a) {
			return ErrCredentials
		}
		if token, err = s.sessions.Confirm(ctx, sessionID); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "session.confirmed", Actor: a.Actor(), Target: a.Actor(),
			IP: by.IP, Details: by.Details(map[string]any{"session": sessionID.String()})})
	})
	if err != nil {
		return secret.Token{}, fmt.Errorf("confirm session: %w", err)
	}
	return token, nil
}

// Unchanged reports whether what was proved about an account a moment ago
// still holds: between the check and the lock somebody may have changed the
// password, closed the account or frozen it.
func Unchanged(now, read Account) bool {
	return now.CredentialVersion == read.CredentialVersion && now.State == Active && now.FrozenAt == nil
}

// confirmView is templates/pages/account/confirm.html.
type confirmView struct {
	Form     web.Form
	Username string
}

// returnTo is the page that asked for the confirmation.
func returnTo(c *gin.Context) string {
	if next := c.Query("return_to"); ownPages.MatchString(next) {
		return next
	}
	return "/account"
}

func (h *Handler) confirmPage(c *gin.Context) error {
	next := returnTo(c)
	v, ok, err := h.SignedIn(c, next)
	if !ok {
		return err
	}
	if h.service.confirmedLately(c.Request.Context(), v) {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+next)
		return nil
	}
	if ok, err := h.hasPassword(c, v); !ok {
		return err
	}
	return h.showConfirm(c, http.StatusOK, v, web.Form{})
}

func (h *Handler) showConfirm(c *gin.Context, status int, v Visit, f web.Form) error {
	return h.pages.Render(c, status, "account/confirm.html", confirmView{Form: f, Username: v.Account.LoginEmail})
}

func (h *Handler) confirm(c *gin.Context) error {
	next := returnTo(c)
	v, ok, err := h.SignedIn(c, next)
	if !ok {
		return err
	}
	var f web.Form
	current := c.PostForm("password")
	if current == "" {
		f.Add("password", "password.error.empty")
		return h.showConfirm(c, http.StatusUnprocessableEntity, v, f)
	}
	token, err := h.service.ConfirmSession(c.Request.Context(), v.Realm, v.Account, v.Session.ID, current, byPerson(c, v.Account))
	switch {
	case err == nil:
		h.sessions.SetCookie(c, v.Realm, token)
		c.Redirect(http.StatusSeeOther, v.Realm.Path+next)
		return nil
	case errors.Is(err, errSessionOver), errors.Is(err, session.ErrNotFound):
		return h.sessionOver(c, v.Realm, next)
	case !addConfirmProblem(&f, "password", err):
		return err
	}
	return h.showConfirm(c, http.StatusUnprocessableEntity, v, f)
}

// sessionOver sends a browser whose session has ended to sign in again, and
// then back to a page of My Account.
func (h *Handler) sessionOver(c *gin.Context, r *realm.Realm, page string) error {
	h.sessions.ClearCookie(c, r)
	c.Redirect(http.StatusSeeOther, r.Path+"/signin?return_to="+page)
	return nil
}

// addConfirmProblem says in a form why the current password was not accepted,
// and reports whether err was about that.
func addConfirmProblem(f *web.Form, field string, err error) bool {
	var slow *Throttled
	switch {
	case errors.As(err, &slow):
		f.Add(field, "signin.error.slow_down", "n", slow.Minutes(), "minutes", slow.Minutes())
	case errors.Is(err, ErrCredentials):
		f.Add(field, "password.error.current")
	default:
		return false
	}
	return true
}

// addPasswordProblem is the same for what is wrong with a new password.
func addPasswordProblem(f *web.Form, err error) bool {
	var problem *password.Problem
	switch {
	case errors.Is(err, ErrSamePassword):
		f.Add("new-password", "password.error.same")
	case errors.As(err, &problem):
		f.Add("new-password", problem.Key, problem.Args...)
	default:
		return false
	}
	return true
}
