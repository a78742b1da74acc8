package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// maxLocation bounds the URL that a posted request is turned into.
const maxLocation = 12 << 10

// consentRule is what has to be remembered for a grant to be stored.
type consentRule int

const (
	consentNone   consentRule = iota // none is needed, or it was given for this very request
	consentExact                     // for exactly these scopes
	consentCovers                    // was seen to cover these scopes a moment ago
)

// authorizeGET is the authorization endpoint (RFC 6749 §3.1): a request of a
// client, or with flow= the way back from a page that asked something.
func (p *Provider) authorizeGET(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	form, err := parseForm(c.Request.URL.RawQuery)
	if err != nil {
		return requestPage(errGarbled)
	}
	if flow, ok := form["flow"]; ok && !form.Has("client_id") {
		a, err := p.flowOf(c, r, flow[0])
		if err != nil {
			return err
		}
		return p.decide(c, r, a)
	}
	a, err := p.readAuthorization(c.Request.Context(), r, form)
	if err != nil {
		return p.refuseRequest(c, r, a, err)
	}
	return p.decide(c, r, a)
}

// authorizePOST takes a request as a form (OpenID Connect Core §3.1.2.1). It
// comes from another site, so the browser sends none of our cookies along;
// sent on as a GET it does.
func (p *Provider) authorizePOST(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	form, err := readBody(c)
	if err != nil {
		return requestPage(err)
	}
	// What is refused is refused here. A request object behind an address is
	// fetched once, on the way back.
	a := (*authorization)(nil)
	if !form.Has("request_uri") {
		if a, err = p.readAuthorization(c.Request.Context(), r, form); err != nil {
			return p.refuseRequest(c, r, a, err)
		}
	}
	location := r.Path + pathAuthorize + "?" + onward(form).Encode()
	if len(location) > maxLocation {
		return p.refuseRequest(c, r, a, refuse(errInvalidRequest, "The request is too long."))
	}
	seeOther(c, location)
	return nil
}

// onward is a request as it is sent on: the parameters that mean something,
// and the request object as it came, so that its signature still counts.
func onward(form url.Values) url.Values {
	kept := url.Values{}
	for _, name := range append([]string{"request", "request_uri"}, parameters...) {
		if v, ok := form[name]; ok {
			kept[name] = v
		}
	}
	return kept
}

// flowOf resumes the flow with an id that came from outside; a page for
// everything that is not a live flow of this browser.
func (p *Provider) flowOf(c *gin.Context, r *realm.Realm, raw string) (*authorization, error) {
	id, err := uuid.Parse(raw)
	if err != nil {
		return nil, flowPage(r, ErrFlow)
	}
	a, err := p.resume(c.Request.Context(), r, id, web.Browser(c))
	switch {
	case errors.Is(err, ErrFlow):
		return nil, flowPage(r, err)
	case err != nil:
		return nil, page(err)
	}
	return a, nil
}

// decide runs the checks and does what they say.
func (p *Provider) decide(c *gin.Context, r *realm.Realm, a *authorization) error {
	current, err := p.sessions.Current(c)
	if err != nil {
		return page(fmt.Errorf("find session: %w", err))
	}
	s := situation{now: p.db.Now(c.Request.Context()), request: a, session: current}
	if current != nil {
		s.subject = p.subject(r, a.client, current.AccountID)
	}
	if err := p.look(c.Request.Context(), &s); err != nil {
		return page(err)
	}
	if step := next(s); step != stepNone {
		return p.ask(c, r, s, step)
	}
	rule := consentExact
	if a.client.FirstParty || s.agreedHere() {
		rule = consentNone
	}
	return p.grant(c, r, s, rule)
}

// declined is the parameter with which a person who was asked to set up a
// second factor comes back without one.
const declined = "declined"

// ask sends the browser to a page of ours, or tells the client that it would
// have to.
func (p *Provider) ask(c *gin.Context, r *realm.Realm, s situation, what step) error {
	a := s.request
	code, description, path := errLoginRequired, "The person has to sign in.", pathSignIn
	switch what {
	case stepConsent:
		code, description, path = errConsentRequired, "The person has to agree.", pathConsent
	case stepSecond:
		path = pathSecond
	case stepEnrol:
		path = pathEnrol
	}
	// Somebody just signed in for this request and is not who the client means:
	// asking again would go round in circles.
	round := what == stepSignIn && s.session != nil && s.freshForThis()
	if what == stepEnrol && a.flow != nil && c.Query(declined) != "" {
		round = true
	}
	if a.silent() || round {
		if what != stepConsent && !a.silent() && !s.strongEnough() {
			code, description = errUnmet, "The sign-in does not reach the acr that is essential."
		}
		return p.answerError(c, r, a, refuse(code, description))
	}
	if a.flow != nil {
		seeOther(c, flowPath(r, path, a.flow.id))
		return nil
	}
	if err := p.mayBegin(c, r); err != nil {
		return page(err)
	}
	id, err := p.begin(c.Request.Context(), r, a, web.Browser(c))
	if err != nil {
		return page(err)
	}
	seeOther(c, flowPath(r, path, id))
	return nil
}

// grant stores the grant and answers with what the response type says. What
// the checks saw is seen again by the statement that stores it.
func (p *Provider) grant(c *gin.Context, r *realm.Realm, s situation, rule consentRule) error {
	ctx, a := c.Request.Context(), s.request
	answer, err := p.storeGrant(ctx, r, s, rule, web.ClientIP(c).String())
	if errors.Is(err, errNotLive) && rule == consentExact {
		covered, lookup := p.consented(ctx, r, s.session.AccountID, a.client.ID, a.agreed())
		switch {
		case lookup != nil:
			return page(lookup)
		case !covered:
			return p.ask(c, r, s, stepConsent)
		}
		answer, err = p.storeGrant(ctx, r, s, consentCovers, web.ClientIP(c).String())
	}
	switch {
	case errors.Is(err, errNotLive):
		s.session = nil // it ended a moment ago
		return p.ask(c, r, s, stepSignIn)
	case errors.Is(err, errPushedUsed):
		return flowPage(r, err)
	case err != nil:
		return page(err)
	}
	return p.answer(c, r, a, answer)
}

// storeGrant makes what the client asked for, and writes grant, code, the end
// of the flow and of a pushed request, and the event in one batch. errNotLive
// when the sign-in or the consent is not there, errPushedUsed when the pushed
// request had its answer; then nothing is written.
func (p *Provider) storeGrant(ctx context.Context, r *realm.Realm, s situation, rule consentRule, ip string) (url.Values, error) {
	ctx, u := p.newUnit(ctx, r, forAuthorize)
	a := s.request
	g := a.grantFor(r, database.NewID(), u.now)
	g.AccountID, g.SessionID = s.session.AccountID, s.session.ID
	g.AuthTime, g.ACR, g.AMR = s.session.AuthTime, s.acr(), s.session.AMR
	u.authorize, u.grant, u.client, u.consent, u.ip = a, g, a.client, rule, ip

	target, err := url.Parse(a.redirectURI)
	if err != nil {
		return nil, fmt.Errorf("parse redirect URI: %w", err)
	}
	request := fosite.NewAuthorizeRequest()
	request.ID, request.Client, request.RedirectURI = g.ID.String(), client{a.client, r.Issuer}, target
	request.ResponseTypes = fosite.Arguments{"code"}
	request.RequestedScope, request.GrantedScope = g.Scopes, g.Scopes
	request.GrantedAudience = g.Audiences
	// What fosite would check late or differently was checked before and is not
	// shown to it: prompt, max_age, hints, state, response_mode.
	request.Form = url.Values{"redirect_uri": {a.redirectURI}}
	if a.challenge != "" {
		request.Form.Set("code_challenge", a.challenge)
		request.Form.Set("code_challenge_method", "S256")
	}
	session := newSignIn(g, p.subject(r, a.client, g.AccountID), a.nonce)
	if a.pushed != nil {
		u.writes = append(u.writes, usePushed(r.Name, u.now, a.pushed))
	}
	answer, err := p.makeAnswer(ctx, request, session)
	if err != nil {
		return nil, err
	}
	u.writes = append(u.writes, sessionUsed(r.Name, g))
	// The flow before the client, as in agree: two forms that meet must not wait
	// for each other.
	if a.flow != nil {
		u.writes = append(u.writes, finishFlow(u.now, a.flow.id))
	}
	if a.client.Unused {
		u.writes = append(u.writes, clientUsed(r.Name, a.client.ID))
	}
	u.events = append(u.events, audit.Event{
		Realm: r.Name, Kind: "grant.created", Actor: audit.Account(g.AccountID), Target: audit.Client(a.client.ID),
		ClientID: a.client.ID, IP: ip, Details: map[string]any{"grant": g.ID.String(), "scope": canonical(g.Scopes)},
	})
	return answer, p.writeGrant(ctx, u)
}

// writeGrant writes the unit. A code that finds no grant takes the whole batch
// with it; where there is no code, or a pushed request to use up, a transaction
// does that.
func (p *Provider) writeGrant(ctx context.Context, u *unit) error {
	if u.authorize.brings("code") && u.authorize.pushed == nil {
		return u.flush(ctx, true)
	}
	return p.db.InTx(ctx, func(ctx context.Context) error { return u.flush(ctx, true) })
}

// refuseRequest answers a request that cannot be served: on a page of ours as
// long as the redirect URI is in doubt, else at the client.
func (p *Provider) refuseRequest(c *gin.Context, r *realm.Realm, a *authorization, err error) error {
	switch {
	case a == nil && unavailable(err):
		return page(err)
	case a == nil:
		return requestPage(err)
	}
	return p.answerError(c, r, a, err)
}

// answerError sends an error to the client (RFC 6749 §4.1.2.1).
func (p *Provider) answerError(c *gin.Context, r *realm.Realm, a *authorization, err error) error {
	e := asProtocol(err)
	p.logFailure(c, e)
	return p.answer(c, r, a, url.Values{"error": {e.Code}, "error_description": {e.Description}})
}

// seeOther is the only redirect of this package: 303 turns every request into
// a GET, so no password is posted on (RFC 9700 §4.12).
func seeOther(c *gin.Context, location string) {
	noStore(c)
	c.Header("Location", location)
	c.Status(http.StatusSeeOther)
	c.Writer.WriteHeaderNow()
}

// page is the page for an error of ours: "busy" when the database is away.
func page(err error) error {
	if unavailable(err) {
		return web.Busy(5*time.Second, err)
	}
	return err
}

// requestPage is shown instead of following a redirect URI that is not known
// to be the client's.
func requestPage(err error) error {
	key := "oauth.error.request"
	switch {
	case errors.Is(err, errNoClient):
		key = "oauth.error.client"
	case errors.Is(err, errNoRedirect):
		key = "oauth.error.redirect"
	}
	return &web.Error{Status: http.StatusBadRequest, Key: key, Err: err}
}

// flowPage is for a flow that is over, or was never this browser's.
func flowPage(r *realm.Realm, err error) error {
	return &web.Error{Status: http.StatusGone, Key: "oauth.error.flow", Action: r.Home, Err: err}
}
