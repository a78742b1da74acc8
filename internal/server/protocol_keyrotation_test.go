package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/server"
)

// rotate is what `idp keys rotate` does, with --now when soon, to a realm whose
// server runs. It returns when the server publishes the new keys.
func (s *suite) rotate(t *testing.T, realm string, soon bool) {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(s.yaml), s.lookup)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := cfg.Set().ByName(realm)
	if !ok {
		t.Fatalf("no realm %s", realm)
	}
	before := s.kids(t)
	if err := server.RotateKeys(context.Background(), cfg, s.db(), r, soon, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new keys are published", func() bool {
		// Servers read their keys every minute, and when they see a token of a
		// key that they do not know: another replica may have made it.
		s.userinfo(t, signedBy(t, "stranger", map[string]any{"iss": s.issuer(realm)}))
		return len(s.kids(t)) > len(before)
	})
}

// kids are the published keys, to their algorithm.
func (s *suite) kids(t *testing.T) map[string]string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(s.mustCall(t, http.MethodGet, s.at("/oauth/jwks"), nil, "").body), &set); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, key := range set.Keys {
		out[key.KeyID] = key.Algorithm
	}
	return out
}

func (s *suite) now() time.Time { return s.db().Now(context.Background()) }

// reader is a client that keeps the key set and reads it again when a token
// names a key that is not in it, as coreos/go-oidc does.
type reader struct {
	verifier *oidc.IDTokenVerifier
	fetched  atomic.Int64
}

func (s *suite) reader(client string) *reader {
	r := &reader{}
	base := newClient()
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: counted{base.Transport, &r.fetched}})
	r.verifier = oidc.NewVerifier(s.issuer("conformance"), oidc.NewRemoteKeySet(ctx, s.at("/oauth/jwks")),
		&oidc.Config{ClientID: client, SkipExpiryCheck: true, SupportedSigningAlgs: []string{"RS256", "ES256"}})
	return r
}

type counted struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func (r *reader) reads(t *testing.T, what, raw string, fetches int64) {
	t.Helper()
	if _, err := r.verifier.Verify(context.Background(), raw); err != nil || r.fetched.Load() != fetches {
		t.Errorf("%s: %v, after %d looks at the key set instead of %d", what, err, r.fetched.Load(), fetches)
	}
}

func TestProtocolKeysRotateWhileAClientWaits(t *testing.T) {
	later(t, func(t *testing.T, s *suite) {
		client, kid := s.reader("conformance-1"), func(raw string) string { _, header := s.verified(t, raw); return header.KeyID }
		b, first := s.browser(t), s.kids(t)
		old := s.tokens(t, b, s.request("conformance-1")).get("id_token")
		client.reads(t, "a first token", old, 1)

		// Published ahead, not used yet: nobody has to look.
		s.rotate(t, "conformance", false)
		both := s.kids(t)
		for kid, alg := range first {
			if both[kid] != alg {
				t.Errorf("the old key %s (%s) is not published any more", kid, alg)
			}
		}
		if algs := slices.Sorted(func(yield func(string) bool) {
			for kid, alg := range both {
				if first[kid] == "" && !yield(alg) {
					return
				}
			}
		}); !slices.Equal(algs, []string{"ES256", "RS256"}) {
			t.Errorf("new keys for %v", algs)
		}
		still := s.tokens(t, b, s.request("conformance-1")).get("id_token")
		if kid(still) != kid(old) {
			t.Error("a new key signs before clients can have read it")
		}
		client.reads(t, "the old key", still, 1)

		// A day later it signs, and the old one is there for what it signed.
		dbtest.Advance(s.db(), keyring.PublishAhead+time.Minute)
		b = s.browser(t)
		fresh := s.tokens(t, b, s.request("conformance-1")).get("id_token")
		if first[kid(fresh)] != "" || both[kid(fresh)] != "RS256" {
			t.Errorf("kid %q is no new key", kid(fresh))
		}
		client.reads(t, "a token of a key it does not know", fresh, 2)
		client.reads(t, "a token of before", old, 2)
		if o := s.ask(b, s.request("conformance-1", "prompt", "none", "id_token_hint", old)); o.get("code") == "" {
			t.Errorf("a hint of the key before: %v", o.values)
		}
	})
}

func TestProtocolARotationInAHurryBreaksNoTokenThatIsOut(t *testing.T) {
	later(t, func(t *testing.T, s *suite) {
		b, client := s.browser(t), s.reader("conformance-2")
		had := s.tokens(t, b, s.request("conformance-2", "scope", everyScope+" offline_access", "prompt", "consent"))
		_, before := s.verified(t, had.get("id_token"))
		client.reads(t, "a first token", had.get("id_token"), 1)
		s.rotate(t, "conformance", true)
		dbtest.Advance(s.db(), keyring.SoonAhead+time.Second)
		if r := s.userinfo(t, had.get("access_token")); r.status != http.StatusOK || r.get("email") != robinEmail {
			t.Errorf("userinfo with a token of the key before: %d %s", r.status, r.body)
		}
		own := []string{"conformance-2", s.secretOf("conformance-2")}
		if r := s.post(t, own[0], own[1], "/oauth/introspect", "token", had.get("access_token")); r.json["active"] != true {
			t.Errorf("introspection: %d %s", r.status, r.body)
		}
		renewed := s.post(t, own[0], own[1], "/oauth/token", "grant_type", "refresh_token", "refresh_token", had.get("refresh_token"))
		if renewed.status != http.StatusOK {
			t.Fatalf("refresh: %d %s", renewed.status, renewed.body)
		}
		r := s.tokens(t, b, s.request("conformance-2"))
		_, after := s.verified(t, r.get("id_token"))
		if after.KeyID == before.KeyID {
			t.Error("the old key signs on")
		}
		client.reads(t, "a token of a key it does not know", r.get("id_token"), 2)
		client.reads(t, "a token of before", had.get("id_token"), 2)
		o := s.outcome(b, b.open(s.leave("id_token_hint", had.get("id_token"), "post_logout_redirect_uri", leftAt, "state", "s")))
		if o.to != leftAt || o.get("state") != "s" {
			t.Errorf("signing out with a hint of the key before: %s to %q", o.mode, o.to)
		}
	})
}
