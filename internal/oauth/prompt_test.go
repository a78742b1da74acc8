package oauth

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/web/webtest"
)

// flowIn insists on a redirect to a page of ours, and returns the flow.
func (w *world) flowIn(page *webtest.Page, path string) string {
	w.t.Helper()
	u, err := url.Parse(page.Location())
	if err != nil || page.Status != 303 || u.Path != w.r.Path+path {
		w.t.Fatalf("%d to %q, want %s", page.Status, page.Location(), path)
	}
	return u.Query().Get("flow")
}

func (w *world) resumeFlow(flow string) *webtest.Page {
	w.t.Helper()
	return w.Get("/oauth/authorize?flow=" + flow)
}

func TestNobodySignedInGoesToTheSignInPageAndBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		form := request("portal", "login_hint=pat@example.test", "ui_locales=es en")
		flow := w.flowIn(w.authorize(form), "/signin")
		view, err := w.p.Describe(context.Background(), w.r, uuid.MustParse(flow), w.browserHash())
		if err != nil || view.ClientID != "portal" || view.ClientName != "Patient Portal" || view.LoginHint != "pat@example.test" ||
			view.UILocales != "es en" || view.RedirectOrigin != "https://rp.example.test" {
			t.Errorf("%+v, %v", view, err)
		}
		if again := w.flowIn(w.resumeFlow(flow), "/signin"); again != flow {
			t.Error("the flow changed")
		}
		w.signIn(w.account)
		q := w.answered(w.resumeFlow(flow), form)
		if r := w.redeem("portal", q.Get("code")); r.Status != 200 {
			t.Errorf("%s", r.Body)
		}
		// A double click gets an answer, Back after a while a page.
		w.answered(w.resumeFlow(flow), form)
		dbtest.Advance(w.db, 2*time.Minute)
		if page := w.resumeFlow(flow); page.Status != 410 || page.Location() != "" {
			t.Errorf("a finished flow: %d %s", page.Status, page.Location())
		}
	})
}

// browserHash finds what the newest interaction is bound to.
func (w *world) browserHash() (hash []byte) {
	w.t.Helper()
	err := w.db.QueryRow(context.Background(), `SELECT browser_hash FROM interactions ORDER BY created_at DESC LIMIT 1`).Scan(&hash)
	if err != nil {
		w.t.Fatal(err)
	}
	return hash
}

func TestAFlowOfAnotherBrowserRealmOrTimeIsNoFlow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		flow := w.flowIn(w.authorize(request("portal")), "/signin")
		other := w.Another()
		for _, path := range []string{"/oauth/authorize?flow=" + flow, "/consent?flow=" + flow} {
			if page := other.Get(path); page.Status != 410 || page.Location() != "" {
				t.Errorf("another browser: %d %s", page.Status, page.Location())
			}
		}
		if _, err := w.p.Describe(context.Background(), w.r, uuid.MustParse(flow), make([]byte, 32)); err == nil {
			t.Error("described to another browser")
		}
		if _, err := w.p.Describe(context.Background(), testRealm(t, "practice"), uuid.MustParse(flow), w.browserHash()); err == nil {
			t.Error("described in another realm")
		}
		for _, bad := range []string{"x", "", uuid.NewString()} {
			if page := w.resumeFlow(bad); page.Status != 410 {
				t.Errorf("flow %q: %d", bad, page.Status)
			}
		}
		dbtest.Advance(w.db, w.r.Lifetimes.Interaction+time.Second)
		if page := w.resumeFlow(flow); page.Status != 410 {
			t.Errorf("expired: %d", page.Status)
		}
	})
}

func TestPromptNoneNeverShowsAPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		expect := func(form url.Values, code string) {
			t.Helper()
			if q := w.answered(w.authorize(form), form); q.Get("error") != code || q.Has("code") != (code == "") {
				t.Errorf("%v, want %q", q, code)
			}
		}
		expect(request("portal", "prompt=none"), errLoginRequired)
		w.signIn(w.account)
		expect(request("portal", "prompt=none"), "")
		expect(request("spa", "prompt=none"), "")
		expect(request("portal", "prompt=none", "max_age=0"), errLoginRequired)
		expect(request("third", "prompt=none"), errConsentRequired)
		expect(request("portal", "prompt=none login"), errInvalidRequest)
		expect(request("portal", "prompt=NONE"), errInvalidRequest)
		if n := w.count(`SELECT count(*) FROM interactions`); n != 0 {
			t.Errorf("%d interactions", n)
		}
	})
}

func TestPromptLoginAndMaxAgeAskForAFreshSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, change := range []string{"prompt=login", "prompt=select_account", "max_age=0", "max_age=60"} {
			dbtest.Advance(w.db, 2*time.Minute)
			form := request("portal", change)
			flow := w.flowIn(w.authorize(form), "/signin")
			w.flowIn(w.resumeFlow(flow), "/signin") // coming back without a sign-in changes nothing
			dbtest.Advance(w.db, time.Second)
			s := w.signIn(w.account)
			r := w.redeem("portal", w.answered(w.resumeFlow(flow), form).Get("code"))
			if at := claims(t, r.get("id_token"))["auth_time"]; at != float64(s.AuthTime.Unix()) {
				t.Errorf("%s: auth_time %v", change, at)
			}
			form = request("portal", "max_age=3600")
			w.answered(w.authorize(form), form)
		}
		for _, bad := range []string{"max_age=", "max_age=x", "max_age=-1", "max_age=1.5", "max_age=99999999999", "prompt=now"} {
			form := request("portal", bad)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
				t.Errorf("%s: %v", bad, q)
			}
		}
	})
}

func TestMaxAgeZeroAsksAlsoInTheInstantOfTheSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := w.db.Now(context.Background())
		dbtest.SetNow(w.db, func() time.Time { return now })
		w.signIn(w.account)
		w.flowIn(w.authorize(request("portal", "max_age=0")), "/signin")
	})
}

func TestAnIDTokenHintMeansThisPersonAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hint := w.tokens("portal").get("id_token")
		form := request("portal", "id_token_hint="+hint)
		w.answered(w.authorize(form), form)
		dbtest.Advance(w.db, time.Hour) // an expired hint is a hint
		w.signIn(w.account)
		if q := w.answered(w.authorize(form), form); !q.Has("code") {
			t.Errorf("%v", q)
		}
		other := w.newAccount("sam@example.test")
		w.signIn(other)
		form = request("portal", "id_token_hint="+hint, "prompt=none")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
			t.Errorf("another person, silently: %v", q)
		}
		form = request("portal", "id_token_hint="+hint)
		flow := w.flowIn(w.authorize(form), "/signin")
		dbtest.Advance(w.db, time.Second)
		w.signIn(other)
		if q := w.answered(w.resumeFlow(flow), form); q.Get("error") != errLoginRequired {
			t.Errorf("signed in as somebody else: %v", q)
		}
		for name, bad := range map[string]string{
			"of another client": w.tokens("spa").get("id_token"), "garbage": "x", "forged": hint[:len(hint)-10] + "AAAAAAAAAA",
			"none": "eyJhbGciOiJub25lIn0." + strings.Split(hint, ".")[1] + ".",
		} {
			form := request("portal", "id_token_hint="+bad)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
				t.Errorf("%s: %v", name, q)
			}
		}
	})
}

func TestConsentIsAskedOnceAndCanBeRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("third", "scope=openid email")
		flow := w.flowIn(w.authorize(form), "/consent")
		page := w.Get("/consent?flow=" + flow)
		if page.Status != 200 || !strings.Contains(page.Text(), "Growth Charts") || !strings.Contains(page.Text(), "pat@example.test") {
			t.Fatalf("%d %s", page.Status, page.Text())
		}
		if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "https://rp.example.test") {
			t.Errorf("the answer cannot leave this page: %s", csp)
		}
		q := w.answered(w.Post("/consent", url.Values{"flow": {flow}, "account": {page.Value("account")}, "client": {page.Value("client")}, "answer": {"deny"}}), form)
		if q.Get("error") != errAccessDenied {
			t.Errorf("%v", q)
		}
		w.Get("/consent?flow=" + flow)
		posted := w.Post("/consent", url.Values{"flow": {flow}, "account": {page.Value("account")}, "client": {page.Value("client")}, "answer": {"allow"}})
		w.flowIn(posted, "/oauth/authorize")
		if q := w.answered(w.resumeFlow(flow), form); !q.Has("code") {
			t.Fatalf("%v", q)
		}
		if q := w.answered(w.authorize(form), form); !q.Has("code") {
			t.Errorf("asked again: %v", q)
		}
		less := request("third", "scope=openid", "prompt=none")
		if q := w.answered(w.authorize(less), less); !q.Has("code") {
			t.Errorf("asked for less: %v", q)
		}
		w.flowIn(w.authorize(request("third", "scope=openid profile")), "/consent")
		w.flowIn(w.authorize(request("third", "scope=openid", "prompt=consent")), "/consent")
		w.flowIn(w.authorize(request("portal", "prompt=consent")), "/consent")
		w.signIn(w.newAccount("sam@example.test"))
		w.flowIn(w.authorize(form), "/consent")
	})
}

func TestConsentNeedsOurOwnForm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		flow := w.flowIn(w.authorize(request("third")), "/consent")
		answer := url.Values{"flow": {flow}, "account": {w.account.String()}, "answer": {"allow"}}
		answer.Set("csrf", "x")
		if page := w.Post("/consent", answer); page.Status != 403 {
			t.Errorf("forged: %d", page.Status)
		}
		if n := w.count(`SELECT count(*) FROM consents`); n != 0 {
			t.Error("stored")
		}
		// Somebody else signed in meanwhile, in another tab.
		page := w.Get("/consent?flow=" + flow)
		w.signIn(w.newAccount("sam@example.test"))
		answer.Set("csrf", page.Value("csrf"))
		answer.Set("client", page.Value("client"))
		w.flowIn(w.Post("/consent", answer), "/consent")
		if n := w.count(`SELECT count(*) FROM consents`); n != 0 {
			t.Error("stored for the wrong person")
		}
	})
}

func TestAPostedRequestIsServedLikeAnyOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal")
		page := w.Post("/oauth/authorize", form)
		if page.Status != 303 || !strings.HasPrefix(page.Location(), w.r.Path+"/oauth/authorize?") {
			t.Fatalf("%d %s", page.Status, page.Location())
		}
		w.answered(w.Get(page.Location()), form)
		bad := request("portal", "-response_type")
		if q := w.answered(w.Post("/oauth/authorize", bad), bad); q.Get("error") != errInvalidRequest {
			t.Errorf("%v", q)
		}
	})
}

func TestABadClientOrRedirectGetsAPageHere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, change := range []string{"client_id=nobody", "-client_id", "-redirect_uri", "redirect_uri=https://evil.example.test/",
			"redirect_uri=" + testRedirect + "/", "redirect_uri=javascript:alert(1)"} {
			for _, also := range []string{"scope=openid", "response_type=x", "prompt=none"} {
				if page := w.authorize(request("portal", change, also)); page.Status != 400 || page.Location() != "" || page.Doc == nil {
					t.Errorf("%s, %s: %d %s", change, also, page.Status, page.Location())
				}
			}
		}
	})
}

func TestResponseModes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal", "response_mode=fragment")
		page := w.authorize(form)
		if !strings.HasPrefix(page.Location(), testRedirect+"#") || !w.answered(page, form).Has("code") {
			t.Errorf("%s", page.Location())
		}
		form = request("portal", "response_mode=query")
		w.answered(w.authorize(form), form)
		form = request("portal", "response_mode=web_message")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("%v", q)
		}
		form = request("portal", "response_type=id_token")
		if page := w.authorize(form); !strings.HasPrefix(page.Location(), testRedirect+"#error=") {
			t.Errorf("%s", page.Location())
		}
		form = request("portal", "redirect_uri=https://rp.example.test/other?x=1")
		if page := w.authorize(form); !strings.HasPrefix(page.Location(), "https://rp.example.test/other?x=1&code=") {
			t.Errorf("%s", page.Location())
		}
	})
}
