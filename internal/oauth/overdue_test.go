package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// A session that the realm does not think strong enough any more is led to the
// second proof, whatever the client asks for, and costs nobody else a question.
func TestASessionTooWeakForTheRealmGetsNoCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		w.signInAt(session.Password)
		w.r.Factors.Required, w.r.Factors.Grace = realm.SecondFactorEveryone, 0
		for _, change := range []string{"", "acr_values=1", essential("1"), "max_age=3600"} {
			form := request("portal", change)
			flow := w.flowIn(w.authorize(form), "/signin/enrol")
			w.flowIn(w.resumeFlow(flow), "/signin/enrol")
			if q := w.answered(w.Get("/oauth/authorize?flow="+flow+"&declined=1"), form); q.Get("error") != errLoginRequired {
				t.Errorf("%s, not now: %v", change, q)
			}
		}
		h.accounts[w.account] = true
		form := request("portal")
		flow := w.flowIn(w.authorize(form), "/signin/second")
		silent := request("portal", "prompt=none")
		if q := w.answered(w.authorize(silent), silent); q.Get("error") != errLoginRequired {
			t.Errorf("silently: %v", q)
		}
		w.strengthen(false)
		if q := w.answered(w.resumeFlow(flow), form); !q.Has("code") {
			t.Errorf("strong enough: %v", q)
		}
		asked := h.asked
		cookie := http.Header{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
		ctx, trips := dbtest.CountTrips(context.Background())
		got := w.do(ctx, http.MethodGet, "/oauth/authorize?"+request("portal").Encode(), cookie, "")
		if !strings.Contains(got.Header.Get("Location"), "code=") || trips.Trips() > 2 || h.asked != asked {
			t.Errorf("%s in %d trips", got.Header.Get("Location"), trips.Trips())
		}
	})
}

// Nor does such a session agree to a client in its person's name.
func TestASessionTooWeakForTheRealmAgreesToNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		w.signInAt(session.Password)
		h.accounts[w.account] = true
		flow := w.flowIn(w.authorize(request("third")), "/consent")
		page := w.Get("/consent?flow=" + flow)
		if page.Status != http.StatusOK {
			t.Fatalf("%d", page.Status)
		}
		w.r.Factors.Required, w.r.Factors.Grace = realm.SecondFactorEveryone, 0
		if got := w.Post("/consent", url.Values{"flow": {flow}, "account": {page.Value("account")}, "client": {page.Value("client")}, "answer": {"allow"}}); w.flowIn(got, "/oauth/authorize") != flow {
			t.Errorf("%d %s", got.Status, got.Location())
		}
		w.flowIn(w.Get("/consent?flow="+flow), "/oauth/authorize")
		w.flowIn(w.resumeFlow(flow), "/signin/second")
		if n := w.count(`SELECT COUNT(*) FROM consents`); n != 0 {
			t.Errorf("%d consents", n)
		}
	})
}
