package oauth

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

func pairwiseProvider(t testing.TB) *Provider {
	t.Helper()
	sealer, err := secret.NewSealer(bytes.Repeat([]byte{1}, secret.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return &Provider{sealer: sealer}
}

// What is remembered is the key of this purpose and this realm, and the
// pseudonyms are those of before.
func TestPseudonymsAreMadeWithTheKeyOfTheirPurposeAndRealm(t *testing.T) {
	p, fresh := pairwiseProvider(t), func() *Provider { return pairwiseProvider(t) }
	c := &realm.Client{ID: "pair", SubjectType: realm.SubjectPairwise, Sector: "rp.example.test"}
	id := database.NewID()
	seen := map[string]string{}
	for range 2 {
		for _, name := range []string{"patient", "practice"} {
			r := testRealm(t, name)
			sub, sid := p.subject(r, c, id), p.sid(r, c, id)
			if sub != fresh().subject(r, c, id) || sid != fresh().sid(r, c, id) {
				t.Errorf("%s: remembered and new differ", name)
			}
			seen[sub], seen[sid] = name+" sub", name+" sid"
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d pseudonyms, 4 expected: %v", len(seen), seen)
	}
	r := testRealm(t, "patient")
	p.subject(r, c, id)
	if n := testing.AllocsPerRun(100, func() { p.pairwise.key(p.sealer, pairwiseSubjects, r.Name) }); n > 0 {
		t.Errorf("%v allocations for a key that is known", n)
	}
	var many sync.WaitGroup
	for range 8 {
		many.Go(func() { p.sid(r, c, id) })
	}
	many.Wait()
}

// The account is read for an ID token that tells about the person, not for one
// that tells how they signed in.
func TestAClaimAboutTheSignInCostsNoLookAtTheAccount(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		cookie := map[string][]string{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
		trips := func(changes ...string) int {
			t.Helper()
			ctx, n := dbtest.CountTrips(t.Context())
			got := w.do(ctx, "GET", "/oauth/authorize?"+request("hybrid", append(changes, "response_type=code id_token", "scope=openid")...).Encode(), cookie, "")
			if !strings.Contains(got.Header.Get("Location"), "id_token=") {
				t.Fatalf("%v: %d %s", changes, got.Status, got.Header.Get("Location"))
			}
			return n.Trips()
		}
		without := trips()
		if n := trips(`claims={"id_token":{"acr":null,"auth_time":{"essential":true},"sub":null}}`); n != without {
			t.Errorf("%d round trips with claims about the sign-in, %d without", n, without)
		}
		if n := trips(`claims={"id_token":{"email":null}}`); n != without+1 {
			t.Errorf("%d round trips with a claim about the person, %d without", n, without)
		}
	})
}

func BenchmarkPairwise(b *testing.B) {
	p, r := pairwiseProvider(b), testRealm(b, "patient")
	c := &realm.Client{ID: "pair", SubjectType: realm.SubjectPairwise, Sector: "rp.example.test"}
	id := database.NewID()
	b.ReportAllocs()
	for b.Loop() {
		p.subject(r, c, id)
		p.sid(r, c, id)
	}
}
