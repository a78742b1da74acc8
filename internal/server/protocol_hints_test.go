package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

// enter signs somebody in to the conformance realm, in a browser of their own.
func (s *suite) enter(t *testing.T, email, client string) (*browser, string) {
	t.Helper()
	b := s.browser(t)
	o := s.outcome(b, s.throughAs(b, b.open(s.at("/oauth/authorize?"+s.request(client).Encode())), email))
	r := s.exchange(t, client, o.get("code"))
	if r.status != http.StatusOK {
		t.Fatalf("%s cannot sign in: %d %s", email, r.status, r.body)
	}
	return b, r.get("id_token")
}

// hintOfAnotherRealm is an ID token of the strict realm, for the client of the same name.
func (s *suite) hintOfAnotherRealm(t *testing.T) string {
	t.Helper()
	b, issuer := s.browser(t), s.issuer("strict")
	verifier, challenge := pkce()
	q := s.request("conformance-1", "code_challenge", challenge, "code_challenge_method", "S256")
	o := s.outcome(b, s.through(b, b.open(issuer+"/oauth/authorize?"+q.Encode())))
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	(&http.Request{Header: header}).SetBasicAuth("conformance-1", s.secretOf("conformance-1"))
	r := s.mustCall(t, http.MethodPost, issuer+"/oauth/token", header, query("grant_type", "authorization_code", "code", o.get("code"),
		"redirect_uri", exampleCallback, "code_verifier", verifier).Encode())
	if r.status != http.StatusOK {
		t.Fatalf("strict realm: %s %v, %d %s", o.mode, o.values, r.status, r.body)
	}
	return r.get("id_token")
}

func TestProtocolAnExpiredIDTokenIsStillAHint(t *testing.T) {
	later(t, func(t *testing.T, s *suite) {
		b, id := s.enter(t, robinEmail, "conformance-2")
		dbtest.Advance(s.db(), 10*time.Minute)
		claims, _ := s.verified(t, id)
		if expires, _ := claims["exp"].(float64); float64(s.now().Unix()) < expires {
			t.Fatal("it has not expired")
		}
		if o := s.ask(b, s.request("conformance-2", "prompt", "none", "id_token_hint", id)); o.get("code") == "" {
			t.Errorf("at the authorization endpoint: %v", o.values)
		}
		o := s.outcome(b, b.open(s.leave("id_token_hint", id, "post_logout_redirect_uri", leftAt, "state", "s")))
		if o.to != leftAt || o.get("state") != "s" {
			t.Errorf("at sign-out: %s to %q", o.mode, o.to)
		}
		if o := s.ask(b, s.request("conformance-2", "prompt", "none", "id_token_hint", id)); o.get("error") != "login_required" {
			t.Errorf("silently afterwards: %v", o.values)
		}
	})
}

func TestProtocolAHintMeansOnePerson(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		_, sams := s.enter(t, samEmail, "conformance-1")
		who, _ := s.verified(t, sams)
		q := s.request("conformance-1", "id_token_hint", sams)
		// Robin is signed in: the page asks for Sam, and takes nobody else.
		b, _ := s.enter(t, robinEmail, "conformance-1")
		p := b.open(s.at("/oauth/authorize?" + q.Encode()))
		if !strings.HasSuffix(p.url.Path, "/signin") {
			t.Fatalf("%d %s", p.status, p.url.Path)
		}
		if o := s.outcome(b, s.throughAs(b, p, robinEmail)); o.mode != "query" || o.get("error") != "login_required" {
			t.Errorf("somebody else signed in: %s %v", o.mode, o.values)
		}
		b, _ = s.enter(t, robinEmail, "conformance-1")
		o := s.outcome(b, s.throughAs(b, b.open(s.at("/oauth/authorize?"+q.Encode())), samEmail))
		id, _ := s.verified(t, s.exchange(t, "conformance-1", o.get("code")).get("id_token"))
		if id["sub"] != who["sub"] {
			t.Errorf("sub %v, want %v", id["sub"], who["sub"])
		}
	})
}

func TestProtocolWhatIsNoIDTokenOfThisIssuerForThisClientIsNoHint(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		b := s.browser(t)
		r := s.tokens(t, b, s.request("conformance-2"))
		claims, _ := s.verified(t, r.get("id_token"))
		_, other := s.enter(t, robinEmail, "conformance-1")
		_, sams := s.enter(t, samEmail, "conformance-2")
		strict := s.hintOfAnotherRealm(t)
		for _, c := range []struct {
			what, hint, client string
			authorize          string // the error, "" for none
		}{
			{"an access token", r.get("access_token"), "", "invalid_request"},
			{"of another realm", strict, "", "invalid_request"},
			{"not signed", unsigned(t, claims), "", "invalid_request"},
			{"signed by a stranger", signedBy(t, "stranger", claims), "", "invalid_request"},
			{"of somebody else", sams, "", "login_required"},
			{"for another client", other, "conformance-2", "invalid_request"},
		} {
			if o := s.ask(b, s.request("conformance-2", "prompt", "none", "id_token_hint", c.hint)); o.get("error") != c.authorize {
				t.Errorf("%s, authorization: %v", c.what, o.values)
			}
			p := b.open(s.leave("id_token_hint", c.hint, "client_id", c.client, "post_logout_redirect_uri", leftAt, "state", "s"))
			if p.location != nil || p.status != http.StatusOK || find(p.doc, isForm("/oauth/logout/confirm")) == nil {
				t.Errorf("%s, sign-out: %d, Location %v", c.what, p.status, p.location)
			}
			if o := s.ask(b, s.request("conformance-2", "prompt", "none")); o.get("code") == "" {
				t.Fatalf("%s: signed out without being asked", c.what)
			}
		}
		// With its own client beside it, it is a hint.
		o := s.outcome(b, b.open(s.leave("id_token_hint", r.get("id_token"), "client_id", "conformance-2", "post_logout_redirect_uri", leftAt, "state", "s")))
		if o.to != leftAt {
			t.Errorf("the client itself: %s to %q", o.mode, o.to)
		}
	})
}
