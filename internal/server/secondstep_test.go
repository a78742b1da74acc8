package server_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/oauth2"
)

var (
	appKey       = regexp.MustCompile(`<strong translate="no">([A-Z2-7 ]{39})</strong>`)
	recoveryCode = regexp.MustCompile(`<li><strong>([0-9a-z]{5}-[0-9a-z]{5})</strong></li>`)
	insists      = oauth2.SetAuthURLParam("claims", `{"id_token":{"acr":{"essential":true,"values":["2"]}}}`)
	wishes       = oauth2.SetAuthURLParam("acr_values", "2")
)

// proved is what an ID token and its access token say about the sign-in.
func proved(t *testing.T, got tokens) (acr string, amr []string, sid string) {
	t.Helper()
	var id, access struct {
		ACR      string   `json:"acr"`
		AMR      []string `json:"amr"`
		SID      string   `json:"sid"`
		AuthTime int64    `json:"auth_time"`
	}
	if err := got.identity.Claims(&id); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(got.access, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &access); err != nil {
		t.Fatal(err)
	}
	if access.ACR != id.ACR || access.AuthTime != id.AuthTime || access.SID != id.SID {
		t.Errorf("the ID token says %+v, the access token %+v", id, access)
	}
	return id.ACR, id.AMR, id.SID
}

// A client insists on two factors, the person sets an app up on the way, and
// from then on needs it everywhere.
func TestASecondStepFromTheFirstCodeToTheStepUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, portal := w.person(t, "patient"), w.party(t, "patient", "portal")
		early := w.browser(t)
		acr, amr, sid := proved(t, portal.signIn(early, who))
		if acr != "1" || !slices.Equal(amr, []string{"pwd"}) {
			t.Errorf("a password is acr %s, amr %v", acr, amr)
		}

		// Not now: the client hears why.
		b := w.browser(t)
		a := portal.begin(insists)
		offer := portal.enter(b, a, who, who.password).want(t, 200, "Set up a second step")
		if got := portal.answered(t, a, b.send(offer)).Get("error"); got != "unmet_authentication_requirements" {
			t.Errorf("declined: %q", got)
		}
		// Then after all.
		a = portal.begin(insists)
		offer = b.open(a.url).want(t, 200, "Set up a second step")
		setup := b.open(offer.link(t, "Use an authenticator app")).want(t, 200, "Set up an authenticator app")
		key := appKey.FindStringSubmatch(setup.body)
		if key == nil {
			t.Fatal(setup.says())
		}
		code := func(in time.Duration) string {
			c, err := totp.GenerateCode(strings.ReplaceAll(key[1], " ", ""), time.Now().Add(in))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		shown := b.send(setup, "code", code(0)).want(t, 200, "Recovery codes")
		codes := recoveryCode.FindAllStringSubmatch(shown.body, -1)
		if len(codes) != 10 {
			t.Fatalf("%d recovery codes", len(codes))
		}
		acr, amr, _ = proved(t, portal.finish(t, a, b.open(shown.link(t, "Continue"))))
		if acr != "2" || !slices.Equal(amr, []string{"pwd", "otp", "mfa"}) {
			t.Errorf("acr %s, amr %v", acr, amr)
		}

		// The next sign-in asks for it, whatever the client asked for.
		b = w.browser(t)
		a = portal.begin()
		second := portal.enter(b, a, who, who.password).want(t, 200, "One more step")
		if got := portal.silently(b); got != "login_required" {
			t.Errorf("half a sign-in is %q", got)
		}
		acr, _, _ = proved(t, portal.finish(t, a, b.send(second, "code", code(30*time.Second))))
		if acr != "2" {
			t.Errorf("acr %s", acr)
		}

		// The session from before steps up: the same sid, another token.
		old := early.cookie("patient", "")
		a = portal.begin(wishes)
		second = early.open(a.url).want(t, 200, "One more step")
		recover := early.open(second.link(t, "Use a recovery code")).want(t, 200, "One more step")
		acr, amr, same := proved(t, portal.finish(t, a, early.send(recover, "code", codes[0][1])))
		if acr != "2" || !slices.Contains(amr, "mfa") || same != sid || early.cookie("patient", "") == old {
			t.Errorf("acr %s, amr %v, sid %s, before %s", acr, amr, same, sid)
		}
		thief := w.browser(t)
		thief.plant("patient", "", old)
		if got := portal.silently(thief); got != "login_required" {
			t.Errorf("the old token is %q", got)
		}
		portal.again(early)

		// A fresh sign-in means the password again, and then the second step.
		a = portal.begin(oauth2.SetAuthURLParam("prompt", "login"))
		second = portal.enter(early, a, who, who.password).want(t, 200, "One more step")
		portal.finish(t, a, early.send(second, "code", codes[1][1]))
	})
}

func TestDiscoveryNamesTheLevelsOfSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var more struct {
			ACRs []string `json:"acr_values_supported"`
		}
		if err := w.party(t, "patient", "portal").provider.Claims(&more); err != nil || !slices.Equal(more.ACRs, []string{"1", "2"}) {
			t.Errorf("%v %v", more.ACRs, err)
		}
	})
}
