package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/demo/patientportal"
	"github.com/portico-id/portico/internal/demo/practiceportal"
)

func TestProtocolAnAddressToBeginASignInIsKept(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for address, good := range map[string]bool{
			"https://rp.example.test/login": true, "https://rp.example.test:8443/login?tenant=a&x=1": true, "https://other.example.test/": true,
			"http://rp.example.test/login": false, "http://localhost/login": false, "https://rp.example.test/login#x": false, "javascript:alert(1)": false,
			"https://user@rp.example.test/login": false, "/login": false, "com.example.app:/login": false, "https:///login": false,
		} {
			r := s.tryRegister(t, map[string]any{"initiate_login_uri": address})
			if !good {
				if r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
					t.Errorf("%s: %d %s", address, r.status, r.body)
				}
				continue
			}
			read := s.atClient(t, http.MethodGet, r, r.get("registration_access_token"), "")
			if r.status != http.StatusCreated || r.get("initiate_login_uri") != address || read.get("initiate_login_uri") != address {
				t.Errorf("%s: %d %s, read %s", address, r.status, r.body, read.body)
			}
		}
	})
}

// rpBrowser keeps the cookies of a portal, which a browser has beside ours.
type rpBrowser struct {
	portal  http.Handler
	cookies map[string]string
}

func (b *rpBrowser) get(address string) *http.Response {
	req := httptest.NewRequest(http.MethodGet, address, nil)
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	b.portal.ServeHTTP(rec, req)
	for _, c := range rec.Result().Cookies() {
		b.cookies[c.Name] = c.Value
	}
	return rec.Result()
}

// Somebody else, such as a list of apps, sends people to a portal's address
// for that (OpenID Connect Core §4): it begins a sign-in here, and only here.
func TestProtocolAPortalBeginsASignInForWhoeverSendsPeopleToIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		patients, err := patientportal.New(patientportal.Config{BaseURL: "https://patients.example.test", Issuer: w.issuer("patient"),
			ClientID: "portal", ClientSecret: secretOf("patient", "portal"), HTTPClient: newClient()})
		if err != nil {
			t.Fatal(err)
		}
		practices, err := practiceportal.New(practiceportal.Config{BaseURL: "https://practices.example.test", Issuer: w.issuer("practice"),
			ClientID: "portal", ClientSecret: secretOf("practice", "portal"), AdminAPI: w.base + "/admin/v1", HTTPClient: newClient()})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			realm, base string
			portal      http.Handler
		}{{"patient", "https://patients.example.test", patients}, {"practice", "https://practices.example.test", practices}} {
			var who *person
			if c.realm == "patient" {
				who = w.person(t, "patient")
			} else {
				who = w.staff(t, maple, "front_desk")
			}
			for _, target := range []string{"", c.base + "/", "https://evil.example.test/", "//evil.example.test/"} {
				rp := &rpBrowser{c.portal, map[string]string{}}
				q := query("iss", w.issuer(c.realm), "login_hint", who.email)
				if target != "" {
					q.Set("target_link_uri", target)
				}
				begun := rp.get(c.base + "/signin?" + q.Encode())
				to, err := begun.Location()
				if err != nil || begun.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to.String(), w.issuer(c.realm)+"/oauth/authorize?") {
					t.Fatalf("%s: %d %v", c.realm, begun.StatusCode, to)
				}
				b := w.browser(t)
				p := b.open(to.String())
				if to.Query().Get("login_hint") != who.email || p.value("email") != who.email {
					t.Errorf("the hint is lost: %q, the page says %q", to.Query().Get("login_hint"), p.value("email"))
				}
				answer := b.send(p.want(t, 200, "Sign in"), "email", who.email, "password", who.password)
				if answer.location == nil || !strings.HasPrefix(answer.location.String(), c.base+"/callback?") {
					t.Fatalf("%s: %d %v %s", c.realm, answer.status, answer.location, answer.says())
				}
				landed := rp.get(answer.location.String())
				at, err := landed.Location()
				if err != nil || landed.StatusCode != http.StatusSeeOther || at.Host != "" && at.Host != strings.TrimPrefix(c.base, "https://") {
					t.Errorf("%s: %d, on to %v", c.realm, landed.StatusCode, at)
				}
			}
			// A sign-in service that is not the portal's begins nothing.
			for _, iss := range []string{"https://evil.example.test", w.issuer(c.realm) + "/", w.issuer("door")} {
				rp := &rpBrowser{c.portal, map[string]string{}}
				if r := rp.get(c.base + "/signin?" + url.Values{"iss": {iss}}.Encode()); r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
					t.Errorf("%s, begun by %s: %d %s", c.realm, iss, r.StatusCode, r.Header.Get("Location"))
				}
			}
		}
	})
}
