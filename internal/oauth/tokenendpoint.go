package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// token is the token endpoint (RFC 6749 §3.2).
func (p *Provider) token(c *gin.Context) error {
	form, err := readForm(c)
	if err != nil {
		p.writeError(c, err)
		return nil
	}
	ctx, u := p.newUnit(c.Request.Context(), realm.From(c.Request.Context()), forToken)
	u.ip = web.ClientIP(c).String()
	// A code or refresh token is read together with the version of its client's
	// registration, so that a remembered client costs no read of its own.
	u.mayCache = form.Get("grant_type") == realm.GrantCode || form.Get("grant_type") == realm.GrantRefresh
	body, err := p.issueTokens(ctx, u, c.Request, form)
	if errors.Is(err, errStaleClient) {
		ctx, again := p.newUnit(c.Request.Context(), u.realm, forToken)
		again.ip = u.ip
		body, err = p.issueTokens(ctx, again, c.Request, form)
	}
	if err != nil {
		p.writeError(c, err)
		return nil
	}
	noStore(c)
	c.JSON(http.StatusOK, body)
	return nil
}

// issueTokens runs a grant: fosite's handlers fill the unit, and the unit is
// written before anything is handed out.
func (p *Provider) issueTokens(ctx context.Context, u *unit, req *http.Request, form url.Values) (map[string]any, error) {
	if err := checkGrantType(u.realm, req, form.Get("grant_type")); err != nil {
		return nil, err
	}
	response, err := p.runGrant(ctx, u, req)
	if u.failed != nil {
		err = u.failed // whatever fosite made of it
	}
	if errors.Is(err, errStaleClient) {
		return nil, err // asked again: nothing is written, the assertion not spent
	}
	flushed := u.flush(ctx, err == nil)
	switch {
	case errors.Is(flushed, errReplayed):
		return nil, errReplayed
	case err != nil && flushed != nil:
		return nil, errors.Join(err, flushed)
	case err != nil:
		return nil, err
	case errors.Is(flushed, errLost):
		return p.afterLoss(ctx, u, response)
	case errors.Is(flushed, errRepeat):
		return nil, refuse(errInvalidGrant, descriptionInvalidGrant)
	case flushed != nil:
		return nil, flushed
	}
	return u.body(response), nil
}

// checkGrantType refuses what no handler is there for, with the code the
// standard has for it.
func checkGrantType(r *realm.Realm, req *http.Request, grantType string) error {
	needs := map[string]string{realm.GrantCode: "code", realm.GrantRefresh: "refresh_token", realm.GrantClientCredentials: ""}
	parameter, known := needs[grantType]
	switch {
	case grantType == "":
		return refuse(errInvalidRequest, "The grant_type is missing.")
	case !known || !slices.Contains(r.OAuth.GrantTypes, grantType):
		return refuse(errUnsupportedGrant, "This grant_type is not supported here.")
	case parameter != "" && req.PostForm.Get(parameter) == "":
		return refuse(errInvalidRequest, "The parameter "+parameter+" is missing.")
	}
	return nil
}

func (p *Provider) runGrant(ctx context.Context, u *unit, req *http.Request) (fosite.AccessResponder, error) {
	requester, err := p.fosite.NewAccessRequest(ctx, req, &signIn{})
	if err != nil {
		return nil, err
	}
	request := requester.(*fosite.AccessRequest)
	switch request.GrantTypes[0] {
	case realm.GrantRefresh:
		err = u.narrow(request)
	case realm.GrantClientCredentials:
		err = u.grantAlone(request)
	}
	if err == nil {
		u.resources, err = resourcesOf(u.request, request)
	}
	if err != nil {
		return nil, err
	}
	return p.fosite.NewAccessResponse(ctx, request)
}

// narrow limits an access token to some of the grant's scopes, when the client
// asks for fewer at a refresh (RFC 6749 §6).
func (u *unit) narrow(request *fosite.AccessRequest) error {
	asked := strings.Fields(request.Form.Get("scope"))
	if len(asked) == 0 {
		return nil
	}
	if !within(asked, request.GrantedScope) {
		return refuse(errInvalidScope, "A scope was not granted before.")
	}
	request.GrantedScope = nil
	for _, scope := range asked {
		request.GrantScope(scope)
	}
	// An audience that came with a scope goes with it. Another one is not put in
	// its place: the client asked for these APIs and no other (RFC 8707 §2.1).
	var kept fosite.Arguments
	for _, audience := range audiencesFor(u.realm, u.client, asked) {
		if request.GrantedAudience.Has(audience) {
			kept = append(kept, audience)
		}
	}
	if len(kept) == 0 {
		return refuse(errInvalidScope, "With these scopes the access token would be for none of the resources that were granted.")
	}
	request.GrantedAudience = kept
	return nil
}

// grantAlone decides what a client gets for itself (RFC 6749 §4.4).
func (u *unit) grantAlone(request *fosite.AccessRequest) error {
	for _, scope := range request.RequestedScope {
		if scope == realm.ScopeOpenID || scope == realm.ScopeOfflineAccess {
			return refuse(errInvalidScope, "The scope "+scope+" needs a person.")
		}
		request.GrantScope(scope)
	}
	request.GrantedAudience = audiencesFor(u.realm, u.client, request.GrantedScope)
	if len(request.RequestedAudience) > 0 {
		request.GrantedAudience = request.RequestedAudience // fosite compared them with the client's
	}
	request.Session = &signIn{subject: u.client.ID}
	if u.client.Unused {
		u.writes = append(u.writes, clientUsed(u.realm.Name, u.client.ID))
	}
	return nil
}

// audiencesFor lists the APIs an access token is for: the issuer's own
// userinfo, what its scopes stand for, and what the client is registered for
// without a scope. RFC 9068 §2.2 wants at least one; the issuer is the default.
func audiencesFor(r *realm.Realm, client *realm.Client, scopes []string) fosite.Arguments {
	var out fosite.Arguments
	if slices.Contains(scopes, realm.ScopeOpenID) {
		out = append(out, r.Issuer)
	}
	scoped := map[string]bool{}
	for scope, audience := range r.OAuth.ScopeAudiences {
		scoped[audience] = scoped[audience] || slices.Contains(scopes, scope)
	}
	for _, audience := range client.Audiences {
		if wanted, bound := scoped[audience]; (wanted || !bound) && !out.Has(audience) {
			out = append(out, audience)
		}
	}
	if len(out) == 0 {
		out = fosite.Arguments{r.Issuer}
	}
	return out
}

// body is the answer of the token endpoint (RFC 6749 §5.1).
func (u *unit) body(response fosite.AccessResponder) map[string]any {
	body := response.ToMap()
	body["token_type"] = "Bearer"
	body["expires_in"] = int64(u.accessExpires.Sub(u.now).Seconds())
	if body["scope"] == "" {
		delete(body, "scope")
	}
	return body
}

// afterLoss decides what it means that a code or token was spent between our
// read and our write. Presented twice is reuse, also within a millisecond: of a
// thief and an owner who race, the owner may be the one who lost. Only a client
// that proved who it is and repeats a refresh gets its answer again.
func (p *Provider) afterLoss(ctx context.Context, u *unit, response fosite.AccessResponder) (map[string]any, error) {
	refused := refuse(errInvalidGrant, descriptionInvalidGrant)
	if u.refresh != nil && !u.client.Public() {
		w := claimRepeat(u.now, u.now.Add(-u.realm.OAuth.RefreshGrace), u.refresh.hash, u.refresh.successor)
		rows, err := p.db.Exec(ctx, w.query, w.args...)
		switch {
		case err != nil:
			return nil, err
		case rows == 1:
			return u.body(response), nil
		}
		return nil, refused // one request too many of a client in a hurry
	}
	if err := p.endIfSpent(ctx, u); err != nil {
		return nil, err
	}
	return nil, refused
}

// endIfSpent ends the grant if the code or token really was spent by another
// request, rather than having expired or lost its account meanwhile.
func (p *Provider) endIfSpent(ctx context.Context, u *unit) error {
	g := u.request.Session.(*signIn).grant
	query, key, reason := `SELECT 1 FROM refresh_tokens WHERE token_hash = $5 AND used_at IS NOT NULL`, []byte(nil), reasonReuse
	if u.code != nil {
		query, key, reason = `SELECT 1 FROM authorization_codes WHERE code_hash = $5 AND used_at IS NOT NULL`, u.code.hash, reasonCodeReplay
	} else {
		key = u.refresh.hash
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		rows, err := p.db.Exec(ctx, `
			UPDATE grants SET revoked_at = $1, revoke_reason = $2
			WHERE id = $3 AND realm = $4 AND revoked_at IS NULL AND EXISTS (`+query+`)`,
			u.now, reason, g.ID, u.realm.Name, key)
		if err != nil || rows == 0 {
			return err
		}
		return p.audit.Record(ctx, audit.Event{
			Realm: u.realm.Name, Kind: "token.reuse_detected", Outcome: audit.Failure, Severity: audit.High,
			Actor: u.actor(), Target: audit.Account(g.AccountID),
			ClientID: u.client.ID, IP: u.ip, Details: map[string]any{"grant": g.ID.String(), "reason": reason},
		})
	})
}
