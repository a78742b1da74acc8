package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func (w *world) push(client string, form url.Values) reply {
	w.t.Helper()
	return w.send("/oauth/par", client, form)
}

// pushed pushes a request and returns its reference.
func (w *world) pushed(client string, changes ...string) string {
	w.t.Helper()
	r := w.push(client, request(client, changes...))
	uri := r.get("request_uri")
	if r.Status != http.StatusCreated || !strings.HasPrefix(uri, pushedPrefix) || r.JSON["expires_in"] != float64(90) {
		w.t.Fatalf("push: %d %s", r.Status, r.Body)
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("Cache-Control %q", r.Header.Get("Cache-Control"))
	}
	return uri
}

func reference(client, uri string) url.Values {
	return url.Values{"client_id": {client}, "request_uri": {uri}}
}

func TestAPushedRequestIsAnsweredOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, client := range []string{"portal", "poster", "spa"} {
			uri := w.pushed(client)
			q := w.answered(w.authorize(reference(client, uri)), request(client))
			if r := w.redeem(client, q.Get("code")); r.Status != http.StatusOK {
				t.Errorf("%s: %s", client, r.Body)
			}
			if page := w.authorize(reference(client, uri)); page.Status != http.StatusBadRequest || page.Location() != "" {
				t.Errorf("%s: a second time: %d %s", client, page.Status, page.Location())
			}
		}
	})
}

func TestLookingAtAPushedRequestDoesNotUseItUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		uri := w.pushed("portal")
		first := w.flowIn(w.authorize(reference("portal", uri)), "/signin")
		second := w.flowIn(w.authorize(reference("portal", uri)), "/signin")
		other := w.Another()
		if page := other.Get("/oauth/authorize?" + reference("portal", uri).Encode()); page.Status != http.StatusSeeOther {
			t.Errorf("another browser: %d", page.Status)
		}
		if page := w.authorize(reference("poster", uri)); page.Status != http.StatusBadRequest {
			t.Errorf("another client: %d", page.Status)
		}
		// It may take the person longer than the reference lives.
		dbtest.Advance(w.db, 10*time.Minute)
		w.signIn(w.account)
		w.answered(w.resumeFlow(first), request("portal"))
		if page := w.resumeFlow(second); page.Status != http.StatusGone || page.Location() != "" {
			t.Errorf("the other flow of the same request: %d %s", page.Status, page.Location())
		}
		if n := w.count(`SELECT count(*) FROM grants`); n != 1 {
			t.Errorf("%d grants", n)
		}
	})
}

func TestOfParallelAnswersToOnePushedRequestOneIsGiven(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		uri := w.pushed("portal")
		w.signIn(w.account)
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				cookie := http.Header{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
				w.do(context.Background(), http.MethodGet, "/oauth/authorize?"+reference("portal", uri).Encode(), cookie, "")
			})
		}
		wg.Wait()
		if n := w.count(`SELECT count(*) FROM authorization_codes`); n != 1 {
			t.Errorf("%d codes", n)
		}
		if n := w.count(`SELECT count(*) FROM grants`); n != 1 {
			t.Errorf("%d grants", n)
		}
	})
}

func TestAPushedRequestIsOverAfterNinetySeconds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		uri := w.pushed("portal")
		dbtest.Advance(w.db, 91*time.Second)
		if page := w.authorize(reference("portal", uri)); page.Status != http.StatusBadRequest || page.Location() != "" {
			t.Errorf("%d %s", page.Status, page.Location())
		}
		// An error goes back where the request says so outside.
		form := request("portal", "request_uri="+uri)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequestURI {
			t.Errorf("%v", q)
		}
	})
}

func TestNothingFromTheAddressBarGetsIntoAPushedRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		uri := w.pushed("portal", "scope=openid")
		form := reference("portal", uri)
		for name, value := range map[string]string{"scope": "openid email", "redirect_uri": "https://rp.example.test/other?x=1", "state": "evil", "nonce": "evil", "response_mode": "fragment", "max_age": "0"} {
			form.Set(name, value)
		}
		q := w.answered(w.authorize(form), request("portal"))
		r := w.redeem("portal", q.Get("code"))
		if id := claims(t, r.get("id_token")); id["nonce"] != "n" || r.get("scope") != "openid" {
			t.Errorf("%v, %s", id, r.Body)
		}
	})
}

func TestWhatIsPushedWronglyIsRefusedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for change, code := range map[string]string{
			"redirect_uri=https://evil.example.test/": errInvalidRequest, "-redirect_uri": errInvalidRequest, "-code_challenge": errInvalidRequest,
			"response_type=token": errUnsupportedResponse, "scope=nonsense": errInvalidScope, "request_uri=" + pushedPrefix + "x": errInvalidRequest,
			"request=x": errInvalidObject, "client_id=poster": errInvalidRequest, "max_age=x": errInvalidRequest, "registration={}": errRegistration,
			"prompt=none login": errInvalidRequest, "claims=x": errInvalidRequest,
		} {
			w.expect(change, w.push("portal", request("portal", change)), 400, code)
		}
		form := request("portal")
		form.Add("scope", "email")
		w.expect("a parameter twice", w.push("portal", form), 400, errInvalidRequest)
		w.expect("no credentials", w.do(context.Background(), http.MethodPost, "/oauth/par", nil, request("portal").Encode()), 401, errInvalidClient)
		w.expect("wrong secret", w.do(context.Background(), http.MethodPost, "/oauth/par", http.Header{"Authorization": {basic("portal", "wrong")}}, request("portal").Encode()), 401, errInvalidClient)
		inQuery := w.do(context.Background(), http.MethodPost, "/oauth/par?client_secret="+url.QueryEscape(testSecret), nil, request("poster").Encode())
		w.expect("the secret in the query", inQuery, 400, errInvalidRequest)
		if get := w.do(context.Background(), http.MethodGet, "/oauth/par", nil, ""); get.Status != http.StatusMethodNotAllowed && get.Status != http.StatusNotFound {
			t.Errorf("GET: %d", get.Status)
		}
		if n := w.count(`SELECT count(*) FROM pushed_requests`); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestNoSecretIsKeptWithAPushedRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.pushed("poster", "client_assertion_x=canary", "unknown=canary")
		var stored string
		if err := w.db.QueryRow(context.Background(), `SELECT request FROM pushed_requests`).Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(stored, "secret") || strings.Contains(stored, "canary") || !strings.Contains(stored, "code_challenge") {
			t.Errorf("%s", stored)
		}
	})
}

func TestWhereRequestsHaveToBePushedNoOtherIsAnswered(t *testing.T) {
	check := func(t *testing.T, w *world, client string) {
		t.Helper()
		w.signIn(w.account)
		form := request(client)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest || q.Has("code") {
			t.Errorf("%v", q)
		}
		q := w.answered(w.authorize(reference(client, w.pushed(client))), form)
		if q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	}
	eachIn(t, func(p *realm.OAuthPolicy) { p.RequirePAR = true }, nil, func(t *testing.T, w *world) { check(t, w, "portal") })
	strict := &realm.Client{ID: "strict", SecretHash: realm.HashSecret(testSecret), AuthMethod: realm.AuthBasic, FirstParty: true, RequirePAR: true,
		RedirectURIs: []string{testRedirect}, GrantTypes: []string{realm.GrantCode, realm.GrantRefresh}, Scopes: []string{"openid", "offline_access"}}
	eachIn(t, nil, []*realm.Client{strict}, func(t *testing.T, w *world) {
		check(t, w, "strict")
		w.code("portal")
	})
}

func TestAPushedRequestSurvivesAPostedReferenceAndAPageThatPosts(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		uri := w.pushed("hybrid", "response_type=id_token", "response_mode=form_post", "-code_challenge", "-code_challenge_method")
		page := w.Browser.Another().Post("/oauth/authorize", reference("hybrid", uri))
		if page.Status != http.StatusSeeOther || !strings.Contains(page.Location(), url.QueryEscape(uri)) {
			t.Fatalf("%d %s", page.Status, page.Location())
		}
		if q := w.posted(w.Get(page.Location()), request("hybrid")); !q.Has("id_token") {
			t.Errorf("%v", q)
		}
		if page := w.authorize(reference("hybrid", uri)); page.Status != http.StatusBadRequest {
			t.Errorf("a second time: %d", page.Status)
		}
	})
}

func TestPushedRequestsAreCleanedUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.pushed("portal")
		dbtest.Advance(w.db, 4*time.Hour)
		if err := w.p.CleanUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := w.count(`SELECT count(*) FROM pushed_requests`); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestSayingNoUsesAPushedRequestUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		uri := w.pushed("third")
		flow := w.flowIn(w.authorize(reference("third", uri)), "/consent")
		page := w.Get("/consent?flow=" + flow)
		page = w.Post("/consent", url.Values{"flow": {flow}, "account": {w.account.String()}, "client": {page.Value("client")}, "answer": {"deny"}, "csrf": {page.Value("csrf")}})
		if q := w.answered(page, request("third")); q.Get("error") != errAccessDenied {
			t.Errorf("%v", q)
		}
		if page := w.authorize(reference("third", uri)); page.Status != http.StatusBadRequest {
			t.Errorf("again: %d %s", page.Status, page.Location())
		}
	})
}

func TestAPushedRequestIsNoneInAnotherRealm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		uri := w.pushed("portal")
		other := newWorldIn(t, w.db, testRealm(t, "practice"))
		if page := other.authorize(reference("portal", uri)); page.Status != http.StatusBadRequest || page.Location() != "" {
			t.Errorf("%d %s", page.Status, page.Location())
		}
		w.flowIn(w.authorize(reference("portal", uri)), "/signin")
	})
}

func TestADatabaseThatIsAwayIsNoVerdictOnAPushedRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		uri := w.pushed("portal")
		w.db.Close()
		if r := w.push("portal", request("portal")); r.Status != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
			t.Errorf("push: %d %s", r.Status, r.Body)
		}
		if page := w.authorize(reference("portal", uri)); page.Status != http.StatusServiceUnavailable {
			t.Errorf("authorize: %d", page.Status)
		}
	})
}

func TestAnAssertionPushesOneRequestAndIsNotKept(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		const client = "signer"
		raw := w.assertion(client)
		r := w.withAssertion(context.Background(), "/oauth/par", raw, request(client))
		if r.Status != http.StatusCreated {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		w.expect("the assertion again", w.withAssertion(context.Background(), "/oauth/par", raw, request(client)), 401, errInvalidClient)
		var stored string
		if err := w.db.QueryRow(context.Background(), `SELECT request FROM pushed_requests`).Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(stored, "assertion") || w.count(`SELECT count(*) FROM pushed_requests`) != 1 {
			t.Errorf("%s", stored)
		}
		// An assertion is no request object, although its client signed it.
		other := w.assertion(client)
		w.expect("an assertion as a request", w.withAssertion(context.Background(), "/oauth/par", w.assertion(client), url.Values{"request": {other}}), 400, errInvalidObject)
	})
}
