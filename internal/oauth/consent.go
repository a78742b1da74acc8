package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// consentView is oauth/consent.html.
type consentView struct {
	Client, ClientURI string
	Email             string // who is signed in
	Host              string // where an app leads that the realm has not verified; ""
	Account, Flow     string // hidden
	AsShown           string // hidden: what the person looks at
	Scopes            []string
}

// showConsent asks the person (GET /consent?flow=). It changes nothing.
func (p *Provider) showConsent(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	a, current, err := p.consentOf(c, r, c.Query("flow"))
	if err != nil || a == nil {
		return err
	}
	var email, language string
	err = p.db.QueryRow(c.Request.Context(), `SELECT login_email, locale FROM accounts WHERE id = $1 AND realm = $2`,
		current.AccountID, r.Name).Scan(&email, &language)
	if err != nil {
		return page(err)
	}
	web.PreferLang(c, a.uiLocales, language)
	// Browsers apply form-action to the redirects that follow the POST too.
	web.FormAction(c, originOf(a.redirectURI))
	return p.pages.Render(c, http.StatusOK, "oauth/consent.html", consentView{
		Client: a.client.NameIn(web.Lang(c)), ClientURI: a.client.ClientURI, Email: email,
		Account: current.AccountID.String(), Flow: a.flow.id.String(), Scopes: sentences(a.agreed()),
		Host: unverified(a.client, a.redirectURI), AsShown: asShown(a.client),
	})
}

// answerConsent takes the answer (POST /consent).
func (p *Provider) answerConsent(c *gin.Context) error {
	ctx, r := c.Request.Context(), realm.From(c.Request.Context())
	a, current, err := p.consentOf(c, r, c.PostForm("flow"))
	if err != nil || a == nil {
		return err
	}
	if c.PostForm("account") != current.AccountID.String() || c.PostForm("client") != asShown(a.client) {
		// Somebody else signed in meanwhile, in another tab, or the client is not
		// what they were shown: ask again.
		seeOther(c, flowPath(r, pathConsent, a.flow.id))
		return nil
	}
	switch c.PostForm("answer") {
	case "allow":
		err := p.agree(ctx, r, a, current.AccountID, web.ClientIP(c).String())
		switch {
		case errors.Is(err, errStaleClient):
			seeOther(c, flowPath(r, pathConsent, a.flow.id))
			return nil
		case errors.Is(err, ErrFlow):
			return flowPage(r, err)
		case err != nil:
			return page(err)
		}
		seeOther(c, flowPath(r, pathAuthorize, a.flow.id))
		return nil
	case "deny":
		if err := p.deny(ctx, r, a, current.AccountID, web.ClientIP(c).String()); err != nil {
			return page(err)
		}
		return p.answerError(c, r, a, refuse(errAccessDenied, "The person did not agree."))
	}
	return web.BadRequest(errors.New("no answer"))
}

// deny records the answer, and uses a pushed request up: it has been answered.
func (p *Provider) deny(ctx context.Context, r *realm.Realm, a *authorization, accountID uuid.UUID, ip string) error {
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if a.pushed != nil {
			w := usePushed(r.Name, p.db.Now(ctx), a.pushed)
			if _, err := p.db.Exec(ctx, w.query, w.args...); err != nil {
				return fmt.Errorf("use pushed request up: %w", err)
			}
		}
		return p.audit.Record(ctx, consentEvent(r, a, accountID, ip, "consent.denied"))
	})
}

// consentOf finds the flow and who is signed in. Without anybody signed in, or
// in a session that is not enough for the realm any more, the browser goes back
// to the checks, and a is nil.
func (p *Provider) consentOf(c *gin.Context, r *realm.Realm, flow string) (*authorization, *session.Session, error) {
	a, err := p.flowOf(c, r, flow)
	if err != nil {
		return nil, nil, err
	}
	current, err := p.sessions.Current(c)
	if err != nil {
		return nil, nil, page(err)
	}
	if current == nil || current.Overdue {
		seeOther(c, flowPath(r, pathAuthorize, a.flow.id))
		return nil, nil, nil
	}
	return a, current, nil
}

// sentences are the locale keys of what scopes mean to the person. openid is
// what the heading says already.
func sentences(scopes []string) []string {
	known := map[string]string{
		realm.ScopeProfile: "consent.scope.profile", realm.ScopeEmail: "consent.scope.email",
		realm.ScopeAddress: "consent.scope.address", realm.ScopePhone: "consent.scope.phone",
		realm.ScopeOfflineAccess: "consent.scope.offline_access",
		realm.ScopeAdminRead:     "consent.scope.admin_read", realm.ScopeAdminManage: "consent.scope.admin_manage",
	}
	keys := []string{"consent.scope.openid"}
	for _, scope := range scopes {
		if key, ok := known[scope]; ok {
			keys = append(keys, key)
		} else if scope != realm.ScopeOpenID {
			keys = append(keys, "consent.scope.other")
		}
	}
	return keys
}

func consentEvent(r *realm.Realm, a *authorization, accountID uuid.UUID, ip, kind string) audit.Event {
	return audit.Event{
		Realm: r.Name, Kind: kind, Actor: audit.Account(accountID), Target: audit.Client(a.client.ID),
		ClientID: a.client.ID, IP: ip, Details: map[string]any{"scope": canonical(a.agreed())},
	}
}
