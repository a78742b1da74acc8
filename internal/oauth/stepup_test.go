package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
)

// have is who has a second factor, and counts how often that was asked.
type have struct {
	accounts map[uuid.UUID]bool
	asked    int
	err      error
}

func (h *have) HasSecond(_ context.Context, id uuid.UUID) (bool, error) {
	h.asked++
	return h.accounts[id], h.err
}

// levels makes a world of two levels of sign-in.
func levels(w *world) *have {
	h := &have{accounts: map[uuid.UUID]bool{}}
	w.p.acrs, w.p.factors = []string{session.Password, session.TwoFactors}, h
	return h
}

// signInAt gives the browser a session of a level.
func (w *world) signInAt(acr string) session.Session {
	w.t.Helper()
	s, tok, err := w.p.sessions.Start(context.Background(), w.r, w.account, session.Device{}, session.Method{ACR: acr, AMR: []string{"pwd"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.SetCookie("", tok.Reveal())
	w.session = s
	return s
}

// strengthen is what the page for the second step does.
func (w *world) strengthen(confirms bool) {
	w.t.Helper()
	tok, err := w.p.sessions.Strengthen(context.Background(), w.r, w.session.ID,
		session.Method{ACR: session.TwoFactors, AMR: []string{"pwd", "otp", "mfa"}, Confirms: confirms})
	if err != nil {
		w.t.Fatal(err)
	}
	w.SetCookie("", tok.Reveal())
}

func essential(values ...string) string {
	raw, _ := json.Marshal(map[string]any{"id_token": map[string]any{"acr": map[string]any{"essential": true, "values": values}}})
	return "claims=" + string(raw)
}

func TestStepUpAsksForTheSecondProofAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		h.accounts[w.account] = true
		for _, change := range []string{"acr_values=2", "acr_values=urn:x 2 1", essential("2"), "claims=" + `{"id_token":{"acr":{"values":["2"]}}}`} {
			before := w.signInAt(session.Password)
			form := request("portal", change)
			flow := w.flowIn(w.authorize(form), "/signin/second")
			if again := w.flowIn(w.resumeFlow(flow), "/signin/second"); again != flow {
				t.Errorf("%s: coming back without a proof changes something", change)
			}
			dbtest.Advance(w.db, 2*time.Second)
			w.strengthen(false)
			r := w.redeem("portal", w.answered(w.resumeFlow(flow), form).Get("code"))
			for _, name := range []string{"id_token", "access_token"} {
				c := claims(t, r.get(name))
				at, _ := c["auth_time"].(float64)
				if c["acr"] != "2" || c["sid"] != before.ID.String() || int64(at) < before.AuthTime.Unix()+2 {
					t.Errorf("%s: %s says %v", change, name, c)
				}
			}
			if amr, _ := claims(t, r.get("id_token"))["amr"].([]any); len(amr) != 3 || amr[2] != "mfa" {
				t.Errorf("%s: amr %v", change, amr)
			}
			form = request("portal", change)
			w.answered(w.authorize(form), form) // strong enough now
		}
	})
}

func TestOnlyARequestThatWantsMoreCostsAQuestion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		h.accounts[w.account] = true
		w.signInAt(session.Password)
		for _, change := range []string{"prompt=none", "acr_values=1", "acr_values=1 2", "acr_values=urn:x", essential("1"), essential("1", "2")} {
			form := request("portal", change)
			if q := w.answered(w.authorize(form), form); !q.Has("code") {
				t.Errorf("%s: %v", change, q)
			}
		}
		w.signInAt(session.TwoFactors)
		for _, change := range []string{"acr_values=2", "acr_values=1", essential("2")} {
			form := request("portal", change)
			if q := w.answered(w.authorize(form), form); !q.Has("code") {
				t.Errorf("%s: %v", change, q)
			}
		}
		if h.asked != 0 {
			t.Errorf("asked %d times", h.asked)
		}
	})
}

func TestAClientThatInsistsOnALevelIsToldThatLevel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		levels(w)
		w.signInAt(session.TwoFactors)
		for change, want := range map[string]string{essential("1"): "1", essential("2", "1"): "2", essential("urn:x", "1"): "1", "acr_values=1": "2"} {
			r := w.redeem("portal", w.code("portal", change))
			if got := claims(t, r.get("id_token"))["acr"]; got != want {
				t.Errorf("%s: %v", change, got)
			}
		}
	})
}

func TestAPersonWithoutASecondFactor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		levels(w)
		w.signInAt(session.Password)
		// A wish that cannot be fulfilled is none; the token tells.
		r := w.redeem("portal", w.code("portal", "acr_values=2"))
		if got := claims(t, r.get("id_token"))["acr"]; got != "1" {
			t.Errorf("acr %v", got)
		}
		form := request("portal", essential("2"))
		flow := w.flowIn(w.authorize(form), "/signin/enrol")
		w.flowIn(w.resumeFlow(flow), "/signin/enrol")
		if q := w.answered(w.Get("/oauth/authorize?flow="+flow+"&declined=1"), form); q.Get("error") != errUnmet {
			t.Errorf("not now: %v", q)
		}
		// The way out is not a way around: it ends the request, and a stronger
		// session is asked nothing.
		flow = w.flowIn(w.authorize(form), "/signin/enrol")
		w.strengthen(false)
		if q := w.answered(w.Get("/oauth/authorize?flow="+flow+"&declined=1"), form); !q.Has("code") {
			t.Errorf("strong enough: %v", q)
		}
		w.signInAt(session.Password)
		form.Set("prompt", "consent")
		form.Set("declined", "1")
		w.flowIn(w.authorize(form), "/signin/enrol")
	})
}

func TestPromptNoneWithTooWeakASession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		w.signInAt(session.Password)
		for _, has := range []bool{false, true} {
			h.accounts[w.account] = has
			form := request("portal", "prompt=none", essential("2"))
			if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
				t.Errorf("essential, %t: %v", has, q)
			}
			form = request("portal", "prompt=none", "acr_values=2")
			if q := w.answered(w.authorize(form), form); !q.Has("code") {
				t.Errorf("a wish, %t: %v", has, q)
			}
		}
		if n := w.count(`SELECT count(*) FROM interactions`); n != 0 {
			t.Errorf("%d interactions", n)
		}
	})
}

// A code that was asked for on top moves auth_time. It must not stand for the
// password that prompt=login and max_age ask for.
func TestASecondProofAloneIsNoSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		h.accounts[w.account] = true
		for _, change := range []string{"prompt=login", "max_age=0", "max_age=60", "prompt=select_account"} {
			w.signInAt(session.Password)
			dbtest.Advance(w.db, 2*time.Minute)
			form := request("portal", change)
			flow := w.flowIn(w.authorize(form), "/signin")
			dbtest.Advance(w.db, time.Second)
			w.strengthen(false)
			w.flowIn(w.resumeFlow(flow), "/signin")
			// Nor does a password that was typed in My Account.
			w.exec(`UPDATE sessions SET auth_time = created_at, confirmed_at = $1`, w.db.Now(context.Background()))
			w.flowIn(w.resumeFlow(flow), "/signin")
			// A passkey does.
			w.strengthen(true)
			if q := w.answered(w.resumeFlow(flow), form); !q.Has("code") {
				t.Errorf("%s: %v", change, q)
			}
		}
	})
}

func TestTheWrongPersonIsNotAskedForASecondProof(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hint := w.tokens("portal").get("id_token")
		h := levels(w)
		w.account = w.newAccount("sam@example.test")
		h.accounts[w.account] = true
		w.signInAt(session.Password)
		w.flowIn(w.authorize(request("portal", "id_token_hint="+hint, essential("2"))), "/signin")
	})
}

func TestNobodyKnowsIsNotStrongEnough(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := levels(w)
		h.err = errors.New("the database is away")
		w.signInAt(session.Password)
		if page := w.authorize(request("portal", "acr_values=2")); page.Status != 500 || page.Location() != "" {
			t.Errorf("%d %s", page.Status, page.Location())
		}
	})
}

func TestDiscoveryNamesTheLevels(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		levels(w)
		r := w.do(context.Background(), "GET", "/.well-known/openid-configuration", nil, "")
		if acrs, _ := r.JSON["acr_values_supported"].([]any); len(acrs) != 2 || acrs[1] != "2" {
			t.Errorf("%v", r.JSON["acr_values_supported"])
		}
		form := request("portal", essential("3"))
		if q := w.answered(w.authorize(form), form); q.Get("error") != errUnmet || strings.Contains(q.Get("error_description"), "3") {
			t.Errorf("%v", url.Values(q))
		}
	})
}
