package server_test

import (
	"net/url"
	"strings"
	"testing"
)

// What people see and do about their own account, through all rooms.
func TestPeopleSeeWhatHappenedAndWhoIsLetIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		dana := seededPerson(t, "practice", "dana.whitfield@maple.example.test")
		access := w.admin(t, dana)
		at := w.issuer("patient")

		// Nobody gets in first; then a portal and another app are let in.
		b := w.browser(t)
		w.canSignIn(t, guardian, "not the password at all")
		portal, charts := w.party(t, "patient", "portal"), w.party(t, "patient", "spa", "openid", "email", "offline_access")
		waiting := w.browser(t)
		if said := waiting.open(waiting.open(portal.begin().url).want(t, 200, "Sign in").url.String() + "&lang=es").says(); !strings.Contains(said, "para continuar a Portal del Paciente") {
			t.Errorf("in Spanish: %s", said)
		}
		mine := portal.signIn(b, guardian)
		a := charts.begin()
		answer := b.open(a.url)
		theirs := charts.finish(t, a, b.send(answer.want(t, 200, "Growth Charts wants to use your account"), "answer", "allow"))
		if r := w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
			map[string]any{"confirm_login_email": guardian.email, "reason": "called in"}, "Idempotency-Key", randomText(8)); r.status != 202 {
			t.Fatalf("%d %s", r.status, r.body)
		}

		history := b.open(at+"/account/history").want(t, 200, "Sign-in history").says()
		last := -1
		for _, says := range []string{maple.Name + " sent you a password link", "You let Growth Charts use your account", "You signed in to Patient Portal",
			"Somebody tried to sign in with a wrong password"} { // the newest first
			place := strings.Index(history, says)
			if place <= last {
				t.Errorf("%q is not there, or in the wrong place: %s", says, history)
			}
			last = place
		}
		for _, never := range []string{"Dana", "Whitfield", dana.id.String(), "called in", "practice-portal", "history."} {
			if strings.Contains(history, never) {
				t.Errorf("%q is in %s", never, history)
			}
		}

		for _, path := range []string{"/account/history", "/account/apps"} {
			if said := b.open(at + path + "?lang=es").says(); !strings.Contains(said, "Portal del Paciente") || strings.Contains(said, "Patient Portal") {
				t.Errorf("%s calls the portal otherwise in Spanish: %s", path, said)
			}
		}
		apps := b.open(at+"/account/apps?lang=en").want(t, 200, "Connected apps")
		for _, says := range []string{"Patient Portal", "Growth Charts", "See your email", "Stay connected"} {
			if !strings.Contains(apps.says(), says) {
				t.Errorf("%q is not in %s", says, apps.says())
			}
		}
		removed := b.send(b.open(apps.link(t, "Remove access Growth Charts")).want(t, 200, "Remove the access of Growth Charts?")).want(t, 200, "Connected apps")
		if strings.Contains(removed.says(), "Growth Charts") || !strings.Contains(removed.says(), "The access is removed.") || !strings.Contains(removed.says(), "Patient Portal") {
			t.Errorf("%s", removed.says())
		}
		if r := charts.renew(t, theirs.refresh); r.get("error") != "invalid_grant" {
			t.Errorf("the removed app goes on: %d %s", r.status, r.body)
		}
		if r := charts.userinfo(t, theirs.access); r.status != 401 {
			t.Errorf("its access token goes on: %d", r.status)
		}
		if r := portal.renew(t, mine.refresh); r.status != 200 {
			t.Errorf("the portal was ended too: %d %s", r.status, r.body)
		}
		b.open(charts.begin().url).want(t, 200, "Growth Charts wants to use your account")
		if history := b.open(at + "/account/history").says(); !strings.Contains(history, "You removed the access of Growth Charts") {
			t.Errorf("%s", history)
		}

		// A new name is what portals are told and what staff find.
		word := "Zz" + strings.ToLower(randomText(6))
		word = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r == 'Z' {
				return r
			}
			return 'q'
		}, word)
		saved := b.send(b.open(at+"/account/profile").want(t, 200, "Your name"), "given-name", "Ana", "family-name", word, "display-name", "").want(t, 200, "Your name")
		if !strings.Contains(saved.says(), "Your name is saved.") {
			t.Errorf("%s", saved.says())
		}
		found := w.api(t, access, "GET", "/patients?by=account&q="+url.QueryEscape(word), nil)
		if items, _ := found.json["items"].([]any); len(items) != 1 {
			t.Errorf("staff do not find the new name: %d %s", found.status, found.body)
		}
		again := w.party(t, "patient", "portal", "openid", "profile").again(b)
		var claims struct {
			Name string `json:"name"`
		}
		if err := again.identity.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		r := portal.userinfo(t, again.access)
		if claims.Name != "Ana "+word && r.get("name") != "Ana "+word {
			t.Errorf("the portal is told %q, %s", claims.Name, r.body)
		}
	})
}
