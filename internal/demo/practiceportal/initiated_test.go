package practiceportal

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// OpenID Connect Core 1.0 §4: the provider, or another site, starts a sign-in.
func TestASignInThatOthersStartCarriesWhomAndWhereTo(t *testing.T) {
	api, b, base := newWorld(t)
	start := url.Values{"iss": {api.op.Issuer}, "login_hint": {"tom@maple.example.test"}, "target_link_uri": {base + "/patients/" + patientID}}
	last := func() url.Values { return api.op.Authorized[len(api.op.Authorized)-1] }
	if p := b.Get(base + "/signin?" + start.Encode()); p.Title() != "Mateo Rivera" || last().Get("login_hint") != "tom@maple.example.test" {
		t.Fatalf("%q, asked %v", p.Title(), last())
	}
	// Also of somebody who is signed in: whom it is for, the other site knows.
	start.Set("login_hint", "rosa@maple.example.test")
	start.Set("target_link_uri", "https://evil.example.test/patients")
	if p := b.Get(base + "/signin?" + start.Encode()); p.URL.String() != base+"/" || last().Get("login_hint") != "rosa@maple.example.test" {
		t.Errorf("%s, asked %v", p.URL, last())
	}
	start.Set("iss", "https://evil.example.test")
	sent := len(api.op.Authorized)
	if p := b.Get(base + "/signin?" + start.Encode()); p.Status != 400 || len(api.op.Authorized) != sent {
		t.Errorf("another provider: %d", p.Status)
	}
}

// A form of another site comes without our cookie: it must not sign anybody out.
func TestASignInThatAFormStartsIsOneByLink(t *testing.T) {
	api, b, base := newWorld(t)
	b.Get(base + "/signin")
	post := func(c *http.Client, values url.Values) *http.Response {
		t.Helper()
		req, _ := http.NewRequest(http.MethodPost, base+"/signin", strings.NewReader(values.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		req.Header.Set("Origin", "https://apps.example.test")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	bare := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	values := url.Values{"iss": {api.op.Issuer}, "login_hint": {"tom@maple.example.test"}, "target_link_uri": {base + "/account"}, "return_to": {"//evil"}, "x": {"y"}}
	res := post(bare, values)
	at, err := res.Location()
	if res.StatusCode != 303 || err != nil || at.Path != "/signin" || at.Query().Get("login_hint") != "tom@maple.example.test" || at.Query().Has("x") || len(res.Cookies()) != 0 {
		t.Fatalf("%s %v %v", res.Status, at, res.Cookies())
	}
	if p := b.Get(at.String()); p.Title() != "My Account" {
		t.Errorf("led to %q", p.Title())
	}
	for _, iss := range []string{"", "https://evil.example.test"} {
		values.Set("iss", iss)
		if res := post(bare, values); res.StatusCode != 400 {
			t.Errorf("iss %q: %s", iss, res.Status)
		}
	}
	// Nothing else takes a form of another site.
	req, _ := http.NewRequest(http.MethodPost, base+"/signout", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if res, err := b.Client().Do(req); err != nil || res.StatusCode != 403 {
		t.Errorf("sign out by another site: %v %v", res, err)
	}
}

// RFC 9470: an API that wants another level of sign-in gets it asked for.
func TestTheLevelThatTheAPIWantsIsAskedFor(t *testing.T) {
	for challenge, want := range map[string][2]string{
		`Bearer error="insufficient_user_authentication", max_age=600`:                       {"600", ""},
		`Bearer error="insufficient_user_authentication", max_age="60", acr_values="2"`:      {"60", "2"},
		`Bearer error="insufficient_user_authentication", acr_values="urn:x:gold urn:x:two"`: {"", "urn:x:gold urn:x:two"},
		`Bearer error="insufficient_user_authentication"`:                                    {"600", ""},
	} {
		api, b, base := newWorld(t)
		b.Get(base + "/associations/" + associationID + "/reset-password")
		api.Lock()
		api.challenge = challenge
		api.Unlock()
		p := b.Send("Send reset link", map[string]string{"reason": "called"})
		last := api.op.Authorized[len(api.op.Authorized)-1]
		if last.Get("max_age") != want[0] || last.Get("acr_values") != want[1] || !p.Says("You have signed in again.") {
			t.Errorf("%s: asked %v, page %q", challenge, last, p.Title())
		}
	}
}
