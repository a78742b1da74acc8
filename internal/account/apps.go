package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// App is a client that an account lets in.
type App struct {
	ClientID   string
	Name       string
	Names      map[string]string // by language, where another one is shown
	Registered bool              // it registered itself: nobody has looked at its name
	Since      time.Time
	LastUsed   time.Time // zero: not by what it may do now
	MaySee     []string  // keys of sentences
}

// in is the app as people who read a language are told of it.
func (a App) in(lang string) App {
	a.Name = cmp.Or(a.Names[lang], a.Name)
	return a
}

// ErrApp says that an account has no such app.
var ErrApp = errors.New("the app is not connected to the account")

// Apps knows which clients an account lets in, by what they can still use and
// not by sessions: a client may go on after the browser's session ran out.
// oauth has it.
type Apps interface {
	Connected(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]App, error)
	// Remove ends all that a client may do, or returns ErrApp.
	Remove(ctx context.Context, r *realm.Realm, accountID uuid.UUID, clientID string, by By) error
	// Names tells what clients are called, by identifier.
	Names(ctx context.Context, r *realm.Realm, clientIDs []string) (map[string]App, error)
}

// ConnectedApps lists the clients that an account lets in.
func (s *Service) ConnectedApps(ctx context.Context, r *realm.Realm, a Account) ([]App, error) {
	if s.peers.Apps == nil {
		return nil, nil
	}
	apps, err := s.peers.Apps.Connected(ctx, r, a.ID)
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	return apps, nil
}

// RemoveApp takes from a client what the account has let it do. ErrApp.
func (s *Service) RemoveApp(ctx context.Context, r *realm.Realm, a Account, clientID string, by By) error {
	if s.peers.Apps == nil {
		return ErrApp
	}
	return s.peers.Apps.Remove(ctx, r, a.ID, clientID, by)
}

// appsView is templates/pages/account/apps.html.
type appsView struct {
	Apps []App
	Done bool
}

func (h *Handler) appsPage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/apps")
	if !ok {
		return err
	}
	apps, err := h.service.ConnectedApps(c.Request.Context(), v.Realm, v.Account)
	if err != nil {
		return err
	}
	view := appsView{Done: c.Query("done") == "removed"}
	for _, a := range apps {
		view.Apps = append(view.Apps, a.in(web.Lang(c)))
	}
	return h.pages.Render(c, http.StatusOK, "account/apps.html", view)
}

// appView is templates/pages/account/app.html.
type appView struct{ App App }

// removeAppPage says what happens before it does.
func (h *Handler) removeAppPage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/apps")
	if !ok {
		return err
	}
	apps, err := h.service.ConnectedApps(c.Request.Context(), v.Realm, v.Account)
	if err != nil {
		return err
	}
	for _, a := range apps {
		if a.ClientID == c.Query("app") {
			return h.pages.Render(c, http.StatusOK, "account/app.html", appView{a.in(web.Lang(c))})
		}
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account/apps")
	return nil
}

func (h *Handler) removeApp(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/apps")
	if !ok {
		return err
	}
	err = h.service.RemoveApp(c.Request.Context(), v.Realm, v.Account, c.PostForm("app"), byPerson(c, v.Account))
	if err != nil && !errors.Is(err, ErrApp) { // removed already is as good
		return err
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account/apps?done=removed")
	return nil
}
