package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// at is the same party, gone to another realm's door: same client id, same
// secret, same redirect URI.
func (p *party) at(t testing.TB, realm string) *party {
	t.Helper()
	there := *p.w.party(t, realm, "portal")
	there.client, there.secret, there.redirect = p.client, p.secret, p.redirect
	there.config.ClientID, there.config.ClientSecret, there.config.RedirectURL = p.client, p.secret, p.redirect
	return &there
}

func TestWhatBelongsToOneRealmIsWorthNothingInAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, pair := range [][2]string{{"patient", "practice"}, {"practice", "patient"}, {"patient", "annex"}, {"practice", "door"}} {
			here, there := pair[0], pair[1]
			t.Run(here+" in "+there, func(t *testing.T) {
				who, b := w.person(t, here), w.browser(t)
				p := w.party(t, here, "native")
				own := w.party(t, there, "portal") // a client of the other realm, in its own right
				got := p.signIn(b, who)

				t.Run("access token", func(t *testing.T) {
					if r := own.userinfo(t, got.access); r.status != 401 {
						t.Errorf("userinfo: %d %s", r.status, r.body)
					}
					if own.alive(t, got.access) || own.alive(t, got.refresh) || own.alive(t, got.id) {
						t.Error("introspection says it is alive")
					}
					for _, token := range []string{got.access, got.refresh} {
						if r := own.form(t, own.more.Revocation, "token", token); r.status != 200 {
							t.Errorf("revocation: %d %s", r.status, r.body)
						}
					}
					if !p.alive(t, got.access) || !p.alive(t, got.refresh) {
						t.Error("the other realm revoked it")
					}
				})
				t.Run("client", func(t *testing.T) {
					foreign := p.at(t, there)
					r := foreign.form(t, foreign.config.Endpoint.TokenURL, "grant_type", "client_credentials")
					if r.status != 401 || r.get("error") != "invalid_client" {
						t.Errorf("its secret: %d %s", r.status, r.body)
					}
					if r := foreign.form(t, foreign.more.Introspection, "token", got.access); r.status != 401 {
						t.Errorf("introspection: %d %s", r.status, r.body)
					}
				})
				t.Run("refresh token", func(t *testing.T) {
					refusedGrant(t, own.renew(t, got.refresh))
					r := p.renew(t, got.refresh)
					if r.status != 200 {
						t.Fatalf("the other realm burnt it: %s", r.body)
					}
					got.refresh, got.access = r.get("refresh_token"), r.get("access_token")
				})
				t.Run("code", func(t *testing.T) {
					a := p.begin(oauth2.SetAuthURLParam("prompt", "none"))
					code := p.code(t, a, b.open(a.url))
					foreign := *own
					foreign.redirect = p.redirect
					refusedGrant(t, foreign.redeem(t, a, code))
					if r := p.redeem(t, a, code); r.status != 200 {
						t.Errorf("the other realm burnt it: %s", r.body)
					}
				})
				t.Run("session and flow", func(t *testing.T) {
					if there != "door" {
						thief := w.browser(t)
						thief.plant(there, "", b.cookie(here, ""))
						if got := own.silently(thief); got != "login_required" {
							t.Errorf("the session cookie: %q", got)
						}
						thief.open(w.issuer(there)+"/account").want(t, 200, "Sign in")
						if out := thief.get(own.more.EndSession); out.status != http.StatusSeeOther {
							t.Errorf("sign-out with the session cookie: %d %q", out.status, out.h1())
						}
					}
					if got := own.silently(b); got != "login_required" {
						t.Errorf("the browser that is signed in in %s: %q", here, got)
					}
					fresh := w.browser(t)
					flow := fresh.open(p.begin().url).want(t, 200, "Sign in").url.RawQuery
					if there != "door" {
						fresh.plant(there, "flow", fresh.cookie(here, "flow"))
					}
					if got := fresh.open(w.issuer(there) + "/signin?" + flow); got.status < 400 {
						t.Errorf("the flow: %d %q", got.status, got.h1())
					}
					form := fresh.open(w.issuer(here) + "/signin")
					answer := fresh.post(w.issuer(there)+"/signin", url.Values{"csrf": {form.value("csrf")}, "email": {who.email}, "password": {who.password}})
					answer.want(t, http.StatusForbidden, "This page timed out")
				})
				t.Run("password", func(t *testing.T) {
					stranger := *who
					stranger.realm = there
					if w.canSignIn(t, &stranger, who.password) {
						t.Error("signs in")
					}
				})
				t.Run("links", func(t *testing.T) {
					link := w.forget(t, b, who, 1).link(t)
					other := strings.Replace(link, w.issuer(here), w.issuer(there), 1)
					w.browser(t).open(other).want(t, http.StatusGone, gone)
					w.browser(t).open(strings.Replace(other, "/reset/", "/activate/", 1)).want(t, http.StatusGone, gone)
					w.browser(t).open(strings.Replace(link, "/reset/", "/activate/", 1)).want(t, http.StatusGone, gone)
					walker := w.browser(t)
					w.answered(t, walker, link, who)
					if there != "door" {
						walker.plant(there, "recovery", walker.cookie(here, "recovery"))
						walker.open(w.issuer(there)+"/recovery/password").want(t, http.StatusGone, gone)
					}
				})
				t.Run("ID token", func(t *testing.T) {
					verifier := own.provider.VerifierContext(own.context(), &oidc.Config{SkipClientIDCheck: true, SkipIssuerCheck: true})
					if _, err := verifier.Verify(own.context(), got.id); err == nil {
						t.Error("the other realm's keys verify it")
					}
					// As a hint it signs nobody out and redirects nowhere.
					answer := b.open(own.more.EndSession + "?" + url.Values{"id_token_hint": {got.id}, "post_logout_redirect_uri": {p.redirect}}.Encode())
					if answer.location != nil {
						t.Errorf("redirected to %s", answer.location)
					}
					if got := p.silently(b); got != "" {
						t.Errorf("signed out of %s: %s", here, got)
					}
				})
			})
		}
	})
}

func TestTheAdminAPIWantsAPersonsAccessTokenForItself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		dana := seededPerson(t, "practice", "dana.whitfield@maple.example.test")
		portal := w.party(t, "practice", "portal", "openid", "offline_access", "admin.read", "admin.manage")
		b := w.browser(t)
		good := portal.signIn(b, dana)
		if r := w.api(t, good.access, "GET", "/me", nil); r.status != 200 || !strings.Contains(r.body, "Maple Street Clinic") {
			t.Fatalf("%d %s", r.status, r.body)
		}
		service := func(realm string, scopes ...string) string {
			p := w.party(t, realm, "service")
			r := p.form(t, p.config.Endpoint.TokenURL, "grant_type", "client_credentials", "scope", strings.Join(scopes, " "))
			if r.status != 200 {
				t.Fatalf("client_credentials: %d %s", r.status, r.body)
			}
			return r.get("access_token")
		}
		machine := service("practice", "admin.read", "admin.manage")
		if !w.party(t, "practice", "service").alive(t, machine) {
			t.Error("the machine's token is worth nothing at all")
		}
		other := w.party(t, "practice", "native").again(b)
		parent := w.party(t, "patient", "portal").signIn(w.browser(t), w.person(t, "patient"))
		revoked := portal.again(b)
		if r := portal.form(t, portal.more.Revocation, "token", revoked.access); r.status != 200 {
			t.Fatalf("revocation: %d", r.status)
		}
		for what, token := range map[string]string{
			"ID token": good.id, "refresh token": good.refresh, "client_credentials": machine, "client_credentials without scopes": service("practice"),
			"client_credentials of patient": service("patient"), "another client's": other.access, "another audience's ID token": other.id,
			"a guardian's": parent.access, "a guardian's ID token": parent.id, "a revoked one": revoked.access,
		} {
			r := w.api(t, token, "GET", "/patients", nil)
			if r.status != 401 || r.get("code") != "token_invalid" || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		for what, header := range map[string]http.Header{
			"none": {}, "basic": {"Authorization": {"Basic " + good.access}}, "twice": {"Authorization": {"Bearer " + good.access, "Bearer " + good.access}},
			"cookies alone": {"Cookie": {"__Host-portico-practice=" + b.cookie("practice", "")}},
		} {
			if r := w.mustCall(t, "GET", w.base+"/admin/v1/me", header, ""); r.status != 401 {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		if r := w.mustCall(t, "GET", w.base+"/admin/v1/me?access_token="+good.access, nil, ""); r.status != 401 {
			t.Errorf("in the query: %d %s", r.status, r.body)
		}
		// Scopes narrow what a role allows.
		reader := w.party(t, "practice", "portal", "openid", "admin.read").again(b)
		guardian := w.guardian(t)
		r := w.api(t, reader.access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
			map[string]any{"confirm_login_email": guardian.email, "reason": "x"}, "Idempotency-Key", "k")
		if r.status != 403 || r.get("code") != "scope" || !strings.Contains(r.header.Get("WWW-Authenticate"), "insufficient_scope") {
			t.Errorf("without admin.manage: %d %s", r.status, r.body)
		}
		// Nor is it a hint of who signed in.
		a := portal.begin(oauth2.SetAuthURLParam("id_token_hint", good.access), oauth2.SetAuthURLParam("prompt", "none"))
		if q := portal.answered(t, a, b.open(a.url)); q.Get("code") != "" {
			t.Error("an access token passes for an ID token")
		}
	})
}
