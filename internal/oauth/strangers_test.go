package oauth

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/realm"
)

// strangers lets anybody register, and trusts nobody for it.
func strangers(p *realm.OAuthPolicy) {
	open(p)
	p.Registration.TrustRedirects = false
}

func TestALinkWithAStrangersClientLeadsNowhereWithoutAWord(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		id := w.register(nil).get("client_id")
		bad := map[string]url.Values{
			"prompt=none":         request(id, "scope=openid", "prompt=none"),
			"a bad parameter":     request(id, "scope=openid", "code_challenge_method=plain"),
			"a bad type":          request(id, "scope=openid", "response_type=token"),
			"a bad object":        request(id, "request=x"),
			"in a fragment":       request(id, "scope=openid", "prompt=none", "response_mode=fragment"),
			"sent more than once": {"client_id": {id}, "redirect_uri": {testRedirect}, "scope": {"openid", "email"}, "response_type": {"code"}},
		}
		for what, form := range bad {
			page := w.authorize(form)
			if page.Location() != "" || page.Header.Get("Refresh") != "" || page.Status != 400 || page.H1() != "Leave for rp.example.test?" {
				t.Errorf("%s: %d to %q\n%s", what, page.Status, page.Location(), page.Text())
				continue
			}
			if text := page.Text(); !strings.Contains(text, "Growth Diary") || !strings.Contains(text, "Maple Clinic has not checked this app.") {
				t.Errorf("%s: %s", what, text)
			}
			link, err := url.Parse(page.Link("Go to rp.example.test"))
			if err != nil || link.Host != "rp.example.test" || !strings.Contains(link.String(), "error=") || !strings.Contains(link.String(), "iss=") {
				t.Errorf("%s: the link is %s", what, link)
			}
		}
		// A page that would send itself off is a redirect as well.
		page := w.authorize(request(id, "scope=openid", "prompt=none", "response_mode=form_post"))
		if page.Status != 400 || strings.Contains(page.Body, "form-post.js") || strings.Contains(page.Body, `id="form-post"`) ||
			page.Value("error") != errLoginRequired || page.Value("state") != "s" || !strings.Contains(page.Body, `action="`+testRedirect+`"`) {
			t.Errorf("form_post: %d\n%s", page.Status, page.Body)
		}
		if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "https://rp.example.test") {
			t.Errorf("the button leads nowhere: %s", csp)
		}
		// Posted, it is the same.
		if page := w.Post("/oauth/authorize", bad["prompt=none"]); page.Status == 303 {
			if got := w.Get(strings.TrimPrefix(page.Location(), w.r.Path)); got.Location() != "" {
				t.Errorf("posted: %s", got.Location())
			}
		}

		// Clients of the configuration are none of them.
		form := request("portal", "prompt=none")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
			t.Errorf("the portal: %v", q)
		}
		// Who agreed to an app on a page that named its host is sent there.
		w.signIn(w.account)
		w.agreeAll(id, "openid")
		form = request(id, "scope=openid", "prompt=none")
		if q := w.answered(w.authorize(form), form); !q.Has("code") {
			t.Errorf("an app that was agreed to: %v", q)
		}
		form = request(id, "scope=openid", "prompt=consent")
		flow := w.flowIn(w.authorize(form), "/consent")
		page = w.Get("/consent?flow=" + flow)
		answer := url.Values{"flow": {flow}, "account": {page.Value("account")}, "client": {page.Value("client")}, "answer": {"deny"}, "csrf": {page.Value("csrf")}}
		if q := w.answered(w.Post("/consent", answer), form); q.Get("error") != errAccessDenied {
			t.Errorf("saying no: %v", q)
		}
	}, strangers)
}

func TestWhoWasGivenATokenToRegisterIsNoStrangerToTheRedirect(t *testing.T) {
	for name, policy := range map[string]func(*realm.OAuthPolicy){
		"initial access token": func(p *realm.OAuthPolicy) { strangers(p); p.Registration.Mode = realm.RegistrationToken },
		"conformance":          open,
	} {
		r := keyedRealm(t, policy)
		if mistrusted(r, &realm.Client{Registered: true}) {
			t.Errorf("%s: mistrusted", name)
		}
	}
	if mistrusted(keyedRealm(t, strangers), &realm.Client{}) || !mistrusted(keyedRealm(t, strangers), &realm.Client{Registered: true}) {
		t.Error("a realm where anybody registers")
	}
}

func TestAHintOfAStrangersOwnAccountLeadsNobodyToItsSite(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		const elsewhere = "https://rp.example.test/anywhere"
		victim := w.account
		w.account = w.newAccount("mallory@example.test")
		id, auth, _ := w.registered(map[string]any{"post_logout_redirect_uris": []string{elsewhere}})
		w.signIn(w.account)
		hint := w.tokensOf(id, auth).get("id_token")
		link := logoutRequestOf(hint, "post_logout_redirect_uri="+elsewhere)

		// Somebody who is not signed in follows the link.
		w.SetCookie("", "")
		if page := w.Get(link); page.Location() == "" || !strings.HasPrefix(page.Location(), w.r.Path+pathSignedOut) {
			t.Errorf("nobody signed in: %d %s", page.Status, page.Location())
		}
		// Somebody else who is signed in is asked.
		w.signIn(victim)
		if page := w.Get(link); page.Status != 200 || page.Location() != "" {
			t.Errorf("somebody else signed in: %d %s", page.Status, page.Location())
		}
	}, strangers)
}

func TestPagesNameTheHostOfAnAppNobodyHasChecked(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		id := w.register(nil).get("client_id")
		native := w.register(map[string]any{"application_type": "native", "token_endpoint_auth_method": "none",
			"redirect_uris": []string{"com.example.app:/cb"}}).get("client_id")
		host := func(form url.Values) string {
			t.Helper()
			w.flowIn(w.authorize(form), "/signin")
			var request string
			if err := w.db.QueryRow(t.Context(), `SELECT request FROM interactions ORDER BY id DESC LIMIT 1`).Scan(&request); err != nil {
				t.Fatal(err)
			}
			form, _ = url.ParseQuery(request)
			a, err := w.p.readAuthorization(t.Context(), w.r, form)
			if err != nil {
				t.Fatal(err)
			}
			return unverified(a.client, a.redirectURI)
		}
		for what, want := range map[string]struct {
			form url.Values
			host string
		}{
			"a web app":    {request(id, "scope=openid"), "rp.example.test"},
			"a native app": {request(native, "scope=openid", "redirect_uri=com.example.app:/cb"), "com.example.app:"},
			"our portal":   {request("portal", "scope=openid"), ""},
		} {
			if got := host(want.form); got != want.host {
				t.Errorf("%s: %q", what, got)
			}
		}
		w.signIn(w.account)
		flow := w.flowIn(w.authorize(request(id, "scope=openid")), "/consent")
		for lang, texts := range map[string][]string{
			"en": {"Maple Clinic has not checked this app.", "You will go to rp.example.test."},
			"es": {"Maple Clinic no ha comprobado esta aplicación.", "Usted irá a rp.example.test."},
		} {
			page := w.Get("/consent?flow=" + flow + "&lang=" + lang)
			for page.Status == 303 {
				page = w.Get(strings.TrimPrefix(page.Location(), w.r.Path))
			}
			for _, text := range texts {
				if !strings.Contains(page.Text(), text) {
					t.Errorf("%s: not %q on the page: %s", lang, text, page.Text())
				}
			}
		}
	}, strangers)
}

func TestConsentToAnAppThatChangedIsAskedForAgain(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		registered := w.register(nil)
		id := registered.get("client_id")
		change := func(changes map[string]any) {
			t.Helper()
			all := map[string]any{"client_id": id}
			for k, v := range changes {
				all[k] = v
			}
			r := w.registration("PUT", registered.get("registration_client_uri"), registered.get("registration_access_token"), document(all))
			w.expect("change", r, 200, "")
		}
		w.signIn(w.account)
		form := request(id, "scope=openid")
		flow := w.flowIn(w.authorize(form), "/consent")
		agree := func() url.Values {
			page := w.Get("/consent?flow=" + flow)
			return url.Values{"flow": {flow}, "account": {page.Value("account")}, "client": {page.Value("client")}, "answer": {"allow"}, "csrf": {page.Value("csrf")}}
		}
		consents := func() int64 { return w.count(`SELECT count(*) FROM consents WHERE client_id = $1`, id) }

		// The page was open when the name changed, or the addresses.
		for what, changes := range map[string]map[string]any{
			"name":      {"client_name": "Sunny Diary"},
			"addresses": {"client_name": "Sunny Diary", "redirect_uris": []string{testRedirect, "https://evil.example.test/cb"}},
		} {
			open := agree()
			change(changes)
			w.flowIn(w.Post("/consent", open), "/consent")
			if consents() != 0 {
				t.Errorf("%s: the consent of before counts", what)
			}
		}
		if page := w.Get("/consent?flow=" + flow); !strings.Contains(page.Text(), "Sunny Diary") {
			t.Errorf("shown again: %s", page.Text())
		}
		// It changed after the answer, before the browser was back.
		w.flowIn(w.Post("/consent", agree()), "/oauth/authorize")
		change(map[string]any{"client_name": "Rainy Diary"})
		w.flowIn(w.resumeFlow(flow), "/consent")
		if n := w.count(`SELECT count(*) FROM grants WHERE client_id = $1`, id); n != 0 {
			t.Error("a grant for an app that nobody has seen")
		}
		// And in the instant between.
		c, err := w.p.findClient(t.Context(), w.r, id)
		if err != nil {
			t.Fatal(err)
		}
		change(map[string]any{"client_name": "Windy Diary"})
		a := &authorization{client: c, scopes: []string{"openid"}, flow: &interaction{}}
		err = w.db.QueryRow(t.Context(), `SELECT id FROM interactions WHERE client_id = $1`, id).Scan(&a.flow.id)
		if err == nil {
			err = w.p.agree(t.Context(), w.r, a, w.account, "192.0.2.1")
		}
		if !errors.Is(err, errStaleClient) || consents() != 0 {
			t.Errorf("agreed to what is no more: %v", err)
		}
		// And after the checks have looked at it.
		late, err := w.p.readAuthorization(t.Context(), w.r, form)
		if err != nil {
			t.Fatal(err)
		}
		change(map[string]any{"client_name": "Foggy Diary"})
		if _, err := w.p.storeGrant(t.Context(), w.r, situation{request: late, session: &w.session}, consentNone, ""); !errors.Is(err, errNotLive) {
			t.Errorf("a grant for what is no more: %v", err)
		}
		w.flowIn(w.Post("/consent", agree()), "/oauth/authorize")
		if q := w.answered(w.resumeFlow(flow), form); !q.Has("code") {
			t.Errorf("%v", q)
		}
	}, strangers)
}

func TestAClientIsFingerprintedByWhatPeopleSee(t *testing.T) {
	base := realm.Client{Name: "A", ClientURI: "https://a.example.test/", RedirectURIs: []string{"https://a.example.test/cb"}}
	seen := map[string]bool{asShown(&base): true}
	for _, change := range []func(*realm.Client){
		func(c *realm.Client) { c.Name = "B" },
		func(c *realm.Client) { c.Version = 2 },
		func(c *realm.Client) { c.ClientURI = "" },
		func(c *realm.Client) { c.RedirectURIs = []string{"https://b.example.test/cb"} },
		func(c *realm.Client) {
			c.RedirectURIs = append([]string{"https://b.example.test/cb"}, c.RedirectURIs...)
		},
		func(c *realm.Client) { c.RedirectURIs = nil },
	} {
		c := base
		change(&c)
		if seen[asShown(&c)] {
			t.Errorf("%+v looks like another one", c)
		}
		seen[asShown(&c)] = true
	}
	same := base
	same.SecretHash = []byte("x")
	if !seen[asShown(&same)] {
		t.Error("a new secret is nothing people see")
	}
}

// What a registration says is text on the page that asks to leave, too.
func TestAStrangersMarkupOnThePageThatAsksToLeaveIsText(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		id := w.register(map[string]any{"client_name": `<script>x</script>`}).get("client_id")
		page := w.authorize(request(id, "scope=openid", "prompt=none", `state="><script>x</script>`))
		if page.Status != 400 || strings.Contains(page.Body, "<script>x") {
			t.Errorf("%d %s", page.Status, page.Body)
		}
	}, strangers)
}
