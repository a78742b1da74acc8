package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// logoutParameters are those of RP-Initiated Logout §2 that are used.
var logoutParameters = []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"}

// logoutRequest is what a sign-out request is worth.
type logoutRequest struct {
	form     url.Values
	client   *realm.Client   // nil: none that we know
	hint     *token.Identity // nil: none that we gave
	redirect string          // registered for the client, byte for byte; else ""
	state    string
	asked    bool // the person confirmed it on our page
}

// readLogout reads a sign-out request. What does not fit is dropped rather
// than refused: somebody who wants to sign out should not meet an error page.
// It only means that they are asked first, and that nothing is redirected.
func (p *Provider) readLogout(ctx context.Context, r *realm.Realm, form url.Values) (logoutRequest, error) {
	l := logoutRequest{form: url.Values{}}
	for _, name := range logoutParameters {
		if v := form[name]; len(v) == 1 {
			l.form[name] = v
		}
	}
	if duplicate(form) != "" {
		return l, nil
	}
	id := l.form.Get("client_id")
	if raw := l.form.Get("id_token_hint"); raw != "" {
		hint, err := token.ReadIdentity(raw, p.publicKeys(ctx, r))
		oldest := p.db.Now(ctx).Add(-hintAge(r)).Unix()
		if err != nil || hint.Issuer != r.Issuer || hint.IssuedAt < oldest || id != "" && !hint.Audience.Has(id) {
			return l, nil
		}
		l.hint = &hint
		if id == "" {
			id = hint.Audience[0]
		}
	}
	found, err := p.findClient(ctx, r, id)
	switch {
	case errors.Is(err, errNoClient):
		return l, nil
	case err != nil:
		return l, page(err)
	}
	l.client = found
	if uri := l.form.Get("post_logout_redirect_uri"); slices.Contains(found.PostLogoutRedirectURIs, uri) {
		l.redirect, l.state = uri, l.form.Get("state")
	}
	return l, nil
}

// hintAge is how old an ID token may be to prove something at sign-out. It may
// have expired long ago (RP-Initiated Logout §4): a session and a grant outlive
// their ID tokens. What is older than both says nothing about this browser.
func hintAge(r *realm.Realm) time.Duration {
	return max(r.Lifetimes.SessionAbsolute, r.Lifetimes.KeptSession, r.Lifetimes.GrantAbsolute) + 24*time.Hour
}

// here is the session that a sign-out in this browser ends; nil when there is
// none. awake says that it still signs somebody in. One that has run into a
// limit does not, and is ended all the same: its person, or who sits there now,
// says that it is over, and the tokens of its clients are alive until then.
func (p *Provider) here(c *gin.Context) (s *session.Session, awake bool, err error) {
	if s, err = p.sessions.Current(c); s != nil || err != nil {
		return s, true, err
	}
	s, err = p.sessions.Idle(c)
	return s, false, err
}

// trusted reports whether the hint proves that the client means the person who
// is signed in here. Without it anybody could sign people out with a link.
func (p *Provider) trusted(r *realm.Realm, l logoutRequest, current *session.Session) bool {
	return l.hint != nil && l.client != nil &&
		(l.hint.SessionID == p.sid(r, l.client, current.ID) || l.hint.Subject == p.subject(r, l.client, current.AccountID))
}

// logoutGET is RP-initiated logout (RP-Initiated Logout §2). A request that
// proves who it is for ends the session; every other one shows a page with a
// button, so that an image on another site signs nobody out.
func (p *Provider) logoutGET(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	form, err := parseForm(c.Request.URL.RawQuery)
	if err != nil {
		form = url.Values{}
	}
	l, err := p.readLogout(c.Request.Context(), r, form)
	if err != nil {
		return err
	}
	current, awake, err := p.here(c)
	switch {
	case err != nil:
		return page(err)
	case current == nil:
		p.leave(c, r, l)
		return nil
	case p.trusted(r, l, current):
		return p.signOut(c, r, l, current)
	case !awake:
		web.PreferLang(c, l.form.Get("ui_locales"))
		return p.renderLogout(c, l, logoutView{})
	}
	return p.showLogout(c, r, l, current)
}

// logoutPOST takes the same from a form on the client's site. The browser
// sends none of our cookies with it; sent on as a GET it does.
func (p *Provider) logoutPOST(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	form, err := readBody(c)
	if err != nil {
		return requestPage(err)
	}
	kept := url.Values{}
	for _, name := range logoutParameters {
		if v := form[name]; len(v) > 0 {
			kept[name] = v
		}
	}
	location := r.Path + pathLogout + "?" + kept.Encode()
	if len(location) > maxLocation {
		return requestPage(errors.New("logout request too long"))
	}
	seeOther(c, location)
	return nil
}

// logoutView is oauth/logout.html. About a session that is idle it says nothing:
// who sees the page may be somebody else by now.
type logoutView struct {
	Email                   string
	Apps                    []string // what the person is signed in to from here
	Client, Redirect, State string   // hidden
}

func (p *Provider) showLogout(c *gin.Context, r *realm.Realm, l logoutRequest, current *session.Session) error {
	ctx := c.Request.Context()
	view, language := logoutView{}, ""
	var used []string
	rows, err := p.db.Query(ctx, `
		SELECT a.login_email, a.locale, g.client_id FROM accounts a
		LEFT JOIN grants g ON g.account_id = a.id AND g.session_id = $1 AND g.revoked_at IS NULL AND g.expires_at > $2
		WHERE a.id = $3 AND a.realm = $4 ORDER BY g.client_id`,
		current.ID, p.db.Now(ctx), current.AccountID, r.Name)
	if err != nil {
		return page(fmt.Errorf("find what a session is used for: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var id *string
		if err := rows.Scan(&view.Email, &language, &id); err != nil {
			return page(fmt.Errorf("find what a session is used for: %w", err))
		}
		if id == nil {
			continue
		}
		used = append(used, *id)
	}
	if err := rows.Err(); err != nil {
		return page(fmt.Errorf("find what a session is used for: %w", err))
	}
	web.PreferLang(c, l.form.Get("ui_locales"), language)
	for _, id := range used {
		app, err := p.findClient(ctx, r, id)
		if err != nil && !errors.Is(err, errNoClient) {
			return page(err)
		}
		if err != nil {
			continue
		}
		if name := app.NameIn(web.Lang(c)); !slices.Contains(view.Apps, name) {
			view.Apps = append(view.Apps, name)
		}
	}
	return p.renderLogout(c, l, view)
}

func (p *Provider) renderLogout(c *gin.Context, l logoutRequest, view logoutView) error {
	view.Redirect, view.State = l.redirect, l.state
	if l.client != nil {
		view.Client = l.client.ID
	}
	if l.redirect != "" {
		web.FormAction(c, originOf(l.redirect))
	}
	return p.pages.Render(c, http.StatusOK, "oauth/logout.html", view)
}

// confirmLogout is the button of our own page (POST, protected against
// forgery).
func (p *Provider) confirmLogout(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	form := url.Values{}
	for _, name := range []string{"client_id", "post_logout_redirect_uri", "state"} {
		if v := c.PostForm(name); v != "" {
			form.Set(name, v)
		}
	}
	l, err := p.readLogout(c.Request.Context(), r, form)
	if err != nil {
		return err
	}
	l.asked = true
	current, _, err := p.here(c)
	if err != nil {
		return page(err)
	}
	if current == nil {
		p.leave(c, r, l)
		return nil
	}
	return p.signOut(c, r, l, current)
}

// signOut ends the session and the grants that came of it.
func (p *Provider) signOut(c *gin.Context, r *realm.Realm, l logoutRequest, current *session.Session) error {
	event := audit.Event{
		Realm: r.Name, Kind: "session.signed_out", Actor: audit.Account(current.AccountID),
		Target: audit.Account(current.AccountID), IP: web.ClientIP(c).String(),
	}
	if l.client != nil {
		event.ClientID = l.client.ID
	}
	used, err := p.clientsOf(c.Request.Context(), r, current.ID)
	if err != nil {
		return page(err)
	}
	err = p.db.InTx(c.Request.Context(), func(ctx context.Context) error {
		if err := p.sessions.End(ctx, current.ID, reasonSignOut); err != nil {
			return err
		}
		if err := p.RevokeSession(ctx, current.ID, reasonSignOut); err != nil {
			return err
		}
		return p.audit.Record(ctx, event)
	})
	if err != nil {
		return page(fmt.Errorf("sign out: %w", err))
	}
	p.sessions.ClearCookie(c, r)
	web.NewBrowser(c) // what was started in this browser ends too
	return p.tellFrames(c, r, l, current, used)
}

// leave sends the browser on.
func (p *Provider) leave(c *gin.Context, r *realm.Realm, l logoutRequest) {
	if l.client != nil && !l.asked && mistrusted(r, l.client) {
		// Nobody is signed in and nobody was asked: a hint is no reason to follow an
		// address that anybody may have registered.
		l.redirect = ""
	}
	seeOther(c, l.onward(r))
}

// onward is the client's registered page, for a client that proved who it is or
// a person who was asked; else ours.
func (l logoutRequest) onward(r *realm.Realm) string {
	if l.redirect != "" && (l.hint != nil || l.asked) {
		parameters := url.Values{}
		if l.form.Has("state") {
			parameters.Set("state", l.state)
		}
		return withParameters(l.redirect, parameters)
	}
	location := r.Path + pathSignedOut
	if l.client != nil {
		location += "?" + url.Values{"client_id": {l.client.ID}}.Encode()
	}
	return location
}

// signedOutView is oauth/signed_out.html. Href is where "Sign in again" leads.
type signedOutView struct{ Href string }

func (p *Provider) signedOut(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	view := signedOutView{Href: r.Home}
	known, err := p.findClient(c.Request.Context(), r, c.Query("client_id"))
	if err == nil && known.ClientURI != "" && !known.Registered { // otherwise the page does without
		view.Href = known.ClientURI
	}
	return p.pages.Render(c, http.StatusOK, "oauth/signed_out.html", view)
}
