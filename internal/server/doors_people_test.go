package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/oauth2"
)

// ways are the three ways to choose a password, each at its form, with what
// else has to be filled in.
func (w *world) ways() map[string]func(t testing.TB) (*browser, *page, *person, []string) {
	return map[string]func(t testing.TB) (*browser, *page, *person, []string){
		"reset": func(t testing.TB) (*browser, *page, *person, []string) {
			b, who := w.browser(t), w.person(t, "patient")
			return b, w.answered(t, b, w.forget(t, b, who, 1).link(t), who), who, nil
		},
		"change": func(t testing.TB) (*browser, *page, *person, []string) {
			b, who := w.browser(t), w.person(t, "patient")
			b.send(b.open(w.issuer("patient")+"/signin"), "email", who.email, "password", who.password).want(t, 200, "My Account")
			return b, b.open(w.issuer("patient")+"/account/password").want(t, 200, "Change password"), who, []string{"current-password", who.password}
		},
		"invitation": func(t testing.TB) (*browser, *page, *person, []string) {
			b, who := w.browser(t), w.invited(t, "patient")
			return b, b.send(b.open(w.mail.wait(t, who.email, inviteLetter, 1).link(t))).want(t, 200, "Choose a password"), who, nil
		},
	}
}

// Length is all that is asked for, from 15 code points to 256, and nothing is
// cut off; the form lets managers and the clipboard work.
func TestLengthIsAllThatIsAskedOfAPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, password := range map[string]string{
			"15 code points": "ünïcödé wàlnut1", "64": "walnut carpet " + strings.Repeat("xq", 25), "256": "walnut " + strings.Repeat("éü", 124) + "z",
			"small letters alone": "walnutcarpetlantern", "spaces and signs": "  . walnut carpet !  ", "of another script": "κανένα καρύδι εδώ πέρα",
		} {
			for way, at := range w.ways() {
				t.Run(way+", "+name, func(t *testing.T) {
					b, form, _, more := at(t)
					got := b.submit(form, append([]string{"new-password", password, "confirm-password", password}, more...)...)
					if got.status != http.StatusSeeOther {
						t.Errorf("%d %q", got.status, got.problem("new-password"))
					}
				})
			}
		}
		// What was chosen is compared whole: one sign less is another password.
		b, form, who, more := w.ways()["change"](t)
		long := "walnut " + strings.Repeat("lantern", 35)
		b.send(form, append([]string{"new-password", long, "confirm-password", long}, more...)...).want(t, 200, "My Account")
		if w.canSignIn(t, who, long[:len(long)-1]) || w.canSignIn(t, who, long[:72]) || !w.canSignIn(t, who, long) {
			t.Error("the password was cut off")
		}
	})
}

func TestPasswordFieldsLetManagersAndTheClipboardWork(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		seen := 0
		for way, at := range w.ways() {
			_, form, _, _ := at(t)
			walk(form.doc, func(n *html.Node) {
				if n.Data != "input" || attr(n, "type") != "password" {
					return
				}
				seen++
				want := "new-password"
				if attr(n, "name") == "current-password" {
					want = "current-password"
				}
				if attr(n, "autocomplete") != want {
					t.Errorf("%s: %s has autocomplete %q", way, attr(n, "name"), attr(n, "autocomplete"))
				}
				for _, key := range []string{"maxlength", "minlength", "pattern", "onpaste", "readonly"} {
					if attr(n, key) != "" {
						t.Errorf("%s: %s has %s=%q", way, attr(n, "name"), key, attr(n, key))
					}
				}
			})
		}
		if seen < 7 {
			t.Errorf("only %d password fields were seen", seen)
		}
		b := w.browser(t)
		field := find(b.open(w.issuer("patient")+"/signin").doc, func(n *html.Node) bool { return attr(n, "name") == "password" })
		if attr(field, "autocomplete") != "current-password" || attr(field, "maxlength") != "" {
			t.Errorf("sign-in: %v", field.Attr)
		}
	})
}

// Words that belong to the person or to the realm make no password.
func TestWordsOfTheContextMakeNoPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for way, at := range w.ways() {
			b, form, of, more := at(t)
			for what, password := range map[string]string{"the email": of.email, "the email with digits": of.email + "12", "a common one": "qwertyuiopasdfghjkl", "one sign": strings.Repeat("a", 20)} {
				got := b.send(form, append([]string{"new-password", password, "confirm-password", password}, more...)...)
				if got.status != http.StatusUnprocessableEntity || got.problem("new-password") == "" {
					t.Errorf("%s, %s: %d %s", way, what, got.status, got.says())
				}
				form = got
			}
		}
	})
}

// An identifier that was in the browser before is worth nothing afterwards,
// and one that was planted never is.
func TestASessionGetsANewIdentifierAtEverySignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		planted := randomText(32)
		b.plant("patient", "", planted)
		signIn := func() string {
			t.Helper()
			p := w.party(t, "patient", "portal")
			a := p.begin(oauth2.SetAuthURLParam("prompt", "login"))
			p.finish(t, a, p.enter(b, a, who, who.password))
			return b.cookie("patient", "")
		}
		first := signIn()
		if first == planted || first == "" {
			t.Fatal("the planted identifier was taken")
		}
		attacker := w.browser(t)
		attacker.plant("patient", "", planted)
		attacker.open(w.issuer("patient")+"/account").want(t, 200, "Sign in")
		second := signIn()
		if second == first {
			t.Error("the second sign-in kept the identifier")
		}
		attacker.plant("patient", "", first)
		attacker.open(w.issuer("patient")+"/account").want(t, 200, "Sign in")
		// A flow that began elsewhere does not end here.
		flow := attacker.open(w.party(t, "patient", "portal").begin().url).want(t, 200, "Sign in").url.RawQuery
		if got := b.open(w.issuer("patient") + "/signin?" + flow); got.h1() == "Sign in" && got.status == 200 {
			t.Error("somebody else's authorization request was taken over")
		}
	})
}

// The question stands on one page, behind a live link, and nowhere else.
func TestTheQuestionStandsBehindALiveLinkOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const question = "What was the name of your first pet?"
		guardian := w.guardian(t)
		var seen []string
		look := func(where, body string) {
			if strings.Contains(body, question) || strings.Contains(body, "first_pet") {
				seen = append(seen, where)
			}
		}
		b := w.browser(t)
		look("sign-in", b.open(w.issuer("patient")+"/signin").body)
		look("a refused sign-in", b.send(b.open(w.issuer("patient")+"/signin"), "email", guardian.email, "password", "not the walnut").body)
		look("forgot", b.open(w.issuer("patient")+"/forgot").body)
		l := w.forget(t, b, guardian, 1)
		look("sent", b.open(w.issuer("patient")+"/forgot/sent").body)
		look("the letter", l.raw)
		link := b.open(l.link(t))
		look("the link", link.body)
		got := b.send(link).want(t, 200, "Answer your security question")
		if !strings.Contains(got.body, question) {
			t.Fatalf("the question is not asked: %s", got.says())
		}
		look("the page for the password", b.get(w.issuer("patient")+"/recovery/password").body)
		access := w.admin(t, w.staff(t, maple, "administrator"))
		for _, path := range []string{"/patients?by=account&q=" + url.QueryEscape(guardian.email), "/associations/" + guardian.association.String(), "/me"} {
			look("the API at "+path, w.api(t, access, "GET", path, nil).body)
		}
		p := w.party(t, "patient", "native", "openid", "profile", "email")
		tokens := p.signIn(w.browser(t), guardian)
		look("userinfo", p.userinfo(t, tokens.access).body)
		look("the log", w.log.String())
		if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE target = $1 AND details LIKE '%first_pet%'`, "account:"+guardian.id.String()); n != 0 {
			seen = append(seen, "the audit trail")
		}
		if len(seen) > 0 {
			t.Errorf("the question stands in: %s", strings.Join(seen, ", "))
		}
		// The link is over, and the question with it.
		p2 := w.answered(t, b, l.link(t), guardian)
		choose(b, p2, guardian.other).want(t, 200, "Your password is changed")
		for _, address := range []string{l.link(t), w.issuer("patient") + "/recovery/question"} {
			look(address, b.open(address).want(t, http.StatusGone, gone).body)
		}
	})
}
