package server_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// The page of My Account tells the sign-in that this browser has proved the
// second step: the mark in its cookie grows by an HMAC.
func TestASecondStepOfMyAccountIsKnownToTheSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, portal := w.person(t, "patient"), w.party(t, "patient", "portal")
		b := w.browser(t)
		portal.signIn(b, who)
		mark := func() int {
			raw, err := base64.RawURLEncoding.DecodeString(b.cookie("patient", "device"))
			if err != nil {
				t.Fatal(err)
			}
			return len(raw)
		}
		if n := mark(); n != 48 {
			t.Fatalf("%d bytes after the password", n)
		}
		setup := b.open(w.issuer("patient")+"/account/second-step/app").want(t, 200, "Set up an authenticator app")
		code, err := totp.GenerateCode(strings.ReplaceAll(appKey.FindStringSubmatch(setup.body)[1], " ", ""), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b.send(setup, "code", code).want(t, 200, "Recovery codes")
		if n := mark(); n != 80 {
			t.Errorf("%d bytes after the second step", n)
		}
	})
}
