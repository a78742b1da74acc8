package oauth

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// makeAnswer makes what the response type asks for, in this order: the code,
// the access token, and the ID token, which holds hashes of the other two
// (OpenID Connect Core §3.3.2.11). fosite makes the code, and only the code:
// tokens of the authorization endpoint are made as those of the token endpoint.
func (p *Provider) makeAnswer(ctx context.Context, request *fosite.AuthorizeRequest, session *signIn) (url.Values, error) {
	u, answer := unitFrom(ctx), url.Values{}
	a, s := u.authorize, strategy{p}
	request.Session = session
	if a.brings("code") {
		made, err := p.fosite.NewAuthorizeResponse(ctx, request, session)
		if err != nil {
			return nil, err
		}
		answer.Set("code", made.GetCode())
		session.claims.CodeHash = token.HalfHash(made.GetCode())
	} else if err := storeAlone(u); err != nil {
		return nil, err
	}
	if a.brings("token") {
		access, _, err := s.GenerateAccessToken(ctx, request)
		if err != nil {
			return nil, err
		}
		answer.Set("access_token", access)
		answer.Set("token_type", "Bearer")
		answer.Set("expires_in", strconv.FormatInt(int64(u.accessExpires.Sub(u.now).Seconds()), 10))
		answer.Set("scope", strings.Join(a.scopes, " "))
		session.claims.AccessTokenHash = token.HalfHash(access)
	}
	if a.brings("id_token") {
		session.alone = a.responseType == realm.ResponseIDToken
		session.state = a.state
		if err := p.readWho(ctx, u.realm, session); err != nil {
			return nil, err
		}
		id, err := s.GenerateIDToken(ctx, u.realm.Lifetimes.IDToken, request)
		if err != nil {
			return nil, err
		}
		answer.Set("id_token", id)
	}
	return answer, nil
}

// storeAlone queues a grant that comes without a code.
func storeAlone(u *unit) error {
	w, err := insertGrant(u.realm.Name, u.now, u.grant, u.authorize.client, u.consent, u.authorize.agreed())
	if err != nil {
		return err
	}
	u.writes = append(u.writes, w)
	return nil
}

// formPostView is oauth/form_post.html.
type formPostView struct {
	Client     string
	Action     template.URL // validated: registered, and of a scheme that may be answered
	Parameters []formPostParameter
}

type formPostParameter struct{ Name, Value string }

// answer sends the browser back to the client. Every answer names its issuer
// (RFC 9207 §2) and repeats the state.
func (p *Provider) answer(c *gin.Context, r *realm.Realm, a *authorization, parameters url.Values) error {
	parameters.Set("iss", r.Issuer)
	p.addSessionState(c, r, a, parameters)
	if a.hasState {
		parameters.Set("state", a.state)
	}
	switch {
	case parameters.Has("error") && a.flow == nil && mistrusted(r, a.client):
		return p.askToLeave(c, a, parameters) // nothing of ours has named the place yet
	case a.mode == modeFormPost:
		return p.answerByPost(c, a, parameters)
	}
	seeOther(c, a.location(parameters))
	return nil
}

// location is where the answer goes that a browser is redirected with.
func (a *authorization) location(parameters url.Values) string {
	if a.mode == modeFragment {
		return a.redirectURI + "#" + parameters.Encode()
	}
	return withParameters(a.redirectURI, parameters)
}

// formPostParameters lists an answer in a fixed order.
func formPostParameters(parameters url.Values) []formPostParameter {
	var list []formPostParameter
	for name, values := range parameters {
		list = append(list, formPostParameter{name, values[0]})
	}
	slices.SortFunc(list, func(x, y formPostParameter) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// answerByPost shows a page whose form posts the answer to the client (OAuth
// 2.0 Form Post Response Mode §2). A script of ours sends it off at once;
// without JavaScript there is a button. The policy of the page lets the form go
// to the redirect URI and nowhere else.
func (p *Provider) answerByPost(c *gin.Context, a *authorization, parameters url.Values) error {
	view := formPostView{Client: a.client.NameIn(web.Lang(c)), Action: template.URL(a.redirectURI), Parameters: formPostParameters(parameters)}
	noStore(c)
	web.FormAction(c, originOf(a.redirectURI))
	return p.pages.Render(c, http.StatusOK, "oauth/form_post.html", view)
}
