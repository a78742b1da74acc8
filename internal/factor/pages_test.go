package factor_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web/webtest"
)

const (
	home = "/account/second-step"
	form = "/account/language" // a page with a form, whose hidden token other posts bring
)

// mounted are the pages of My Account, with those of this room.
type mounted struct {
	own   *account.Handler
	pages *factor.Handler
}

func (m mounted) Mount(g *gin.Engine) {
	m.own.Mount(g)
	m.pages.Mount(g)
}

func (w *world) pages() mounted {
	own := account.NewHandler(w.Pages, w.Accounts)
	return mounted{own, factor.NewHandler(w.Pages, w.factors, own)}
}

// strong signs an account in with two factors.
func (w *world) strong(b *webtest.Browser, r *realm.Realm, a account.Account) {
	w.T.Helper()
	_, token, err := w.Sessions.Start(w.T.Context(), r, a.ID, session.Device{UserAgent: "Mozilla/5.0 (iPhone) Safari/604.1", IP: "192.0.2.1"},
		session.Method{ACR: session.TwoFactors, AMR: []string{"pwd", "otp", "mfa"}})
	must(w.T, err)
	b.SetCookie("", token.Reveal())
}

// languages runs a test of pages in both languages: say gives the sentence of
// a key.
func languages(t *testing.T, fn func(t *testing.T, w *world, b *webtest.Browser, say func(key string, args ...any) string)) {
	for _, lang := range []string{"en", "es"} {
		t.Run(lang, func(t *testing.T) {
			w := newWorld(t, dbtest.SQLite(t))
			must(t, w.Accounts.SetLocale(t.Context(), w.Realm.Name, w.maria.ID, lang))
			b := w.Browser(w.pages().Mount)
			w.SignIn(b, w.maria)
			fn(t, w, b, func(key string, args ...any) string { return w.Catalog.T(lang, key, args...) })
		})
	}
}

func sees(t *testing.T, p *webtest.Page, status int, sentences ...string) {
	t.Helper()
	if p.Status != status {
		t.Fatalf("status %d, want %d: %s", p.Status, status, p.Text())
	}
	if p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control: %s", p.Header.Get("Cache-Control"))
	}
	for _, s := range sentences {
		if !strings.Contains(p.Text(), s) {
			t.Errorf("does not say %q: %s", s, p.Text())
		}
	}
}

func leads(t *testing.T, p *webtest.Page, to string) {
	t.Helper()
	if p.Status != 303 || p.Location() != to {
		t.Fatalf("%d %s, want %s: %s", p.Status, p.Location(), to, p.Text())
	}
}

var (
	keyOnPage  = regexp.MustCompile(`<strong translate="no">([A-Z2-7 ]+)</strong>`)
	codeOnPage = regexp.MustCompile(`<li><strong>([0-9a-z]{5}-[0-9a-z]{5})</strong></li>`)
)

func TestPersonSetsAnAuthenticatorAppUp(t *testing.T) {
	languages(t, func(t *testing.T, w *world, b *webtest.Browser, say func(string, ...any) string) {
		sees(t, b.Get(home), 200, say("factor.title"), say("factor.off"), say("factor.app.set_up"))
		p := b.Get(home + "/app")
		sees(t, p, 200, say("factor.app.title"), say("factor.app.scan"))
		if !strings.Contains(p.Body, `<div role="img" aria-label="`+say("factor.app.qr")+`"><svg `) {
			t.Error("no QR code with a name")
		}
		secret := strings.ReplaceAll(keyOnPage.FindStringSubmatch(p.Body)[1], " ", "")

		sees(t, b.Post(home+"/app", url.Values{"code": {" "}}), 422, say("factor.app.error.empty"))
		p = b.Post(home+"/app", url.Values{"code": {w.wrong(secret)}})
		sees(t, p, 422, say("factor.app.error.code"))
		if got := strings.ReplaceAll(keyOnPage.FindStringSubmatch(p.Body)[1], " ", ""); got != secret {
			t.Error("after a wrong code there is another key")
		}
		if p.Value("code") != "" {
			t.Error("the old code is still in the field")
		}

		before := b.Cookie("")
		p = b.Post(home+"/app", url.Values{"code": {w.codeAt(secret, 0)}})
		sees(t, p, 200, say("factor.codes.title"), say("factor.codes.app_done"), say("factor.codes.keep"))
		codes := codeOnPage.FindAllStringSubmatch(p.Body, -1)
		if len(codes) != 10 {
			t.Fatalf("%d recovery codes", len(codes))
		}
		if b.Cookie("") == before {
			t.Error("the session is stronger, and its token the same")
		}
		p = b.Get(home)
		sees(t, p, 200, say("factor.on"), say("factor.codes.left", "n", 10))
		for _, code := range codes {
			if strings.Contains(p.Body, code[1]) {
				t.Error("a recovery code is shown twice")
			}
		}
		w.Deliver()
		if w.Post.To(w.maria.LoginEmail) != 1 || w.Events("factor.added") != 1 {
			t.Error("she is not told, or it is not on record")
		}
		// A second app later takes the place of the first.
		sees(t, b.Get(home+"/app"), 200, say("factor.app.replaces"))
	})
}

func TestAnAppThatTookTooLongStartsAgain(t *testing.T) {
	languages(t, func(t *testing.T, w *world, b *webtest.Browser, say func(string, ...any) string) {
		p := b.Get(home + "/app")
		secret := strings.ReplaceAll(keyOnPage.FindStringSubmatch(p.Body)[1], " ", "")
		w.Exec(`DELETE FROM totp_setups`)
		p = b.Post(home+"/app", url.Values{"code": {w.codeAt(secret, 0)}})
		sees(t, p, 422, say("factor.app.error.setup"))
		if strings.ReplaceAll(keyOnPage.FindStringSubmatch(p.Body)[1], " ", "") == secret {
			t.Error("the old key is shown again")
		}
	})
}

// optionsOf are the options on a page, as its script reads them.
func optionsOf(p *webtest.Page) json.RawMessage {
	return json.RawMessage(html.UnescapeString(p.Value("options")))
}

func TestPersonAddsAPasskey(t *testing.T) {
	languages(t, func(t *testing.T, w *world, b *webtest.Browser, say func(string, ...any) string) {
		p := b.Get(home + "/passkey")
		sees(t, p, 200, say("factor.passkey.title"), say("factor.passkey.unsupported"))
		for _, part := range []string{`<button type="button" hidden data-passkey="create">`, `/passkey.js" defer></script>`, `role="status" data-passkey-status`} {
			if !strings.Contains(p.Body, part) {
				t.Errorf("the page has no %s", part)
			}
		}
		sees(t, b.Post(home+"/passkey", url.Values{"name": {" "}, "response": {"{}"}}), 422, say("factor.passkey.error.name"))
		p = b.Post(home+"/passkey", url.Values{"name": {"Phone"}, "response": {""}})
		sees(t, p, 422, say("factor.passkey.error.none"))
		if p.Value("name") != "Phone" {
			t.Error("the name is lost")
		}
		sees(t, b.Post(home+"/passkey", url.Values{"name": {"Phone"}, "response": {"{}"}}), 422, say("factor.passkey.error.refused"))

		k := newKey(true)
		answer := string(k.create(t, here, optionsOf(p)))
		before := b.Cookie("")
		leads(t, b.Post(home+"/passkey", url.Values{"name": {"Phone"}, "response": {answer}}), "/patient"+home+"/codes?done=passkey")
		if b.Cookie("") == before {
			t.Error("the session is stronger, and its token the same")
		}
		sees(t, b.Get(home+"/codes?done=passkey"), 200, say("factor.codes.key_done"), say("factor.codes.make"))
		p = b.Post(home+"/codes", nil)
		sees(t, p, 200, say("factor.codes.done"))
		if len(codeOnPage.FindAllString(p.Body, -1)) != 10 {
			t.Error("there are not ten codes")
		}
		sees(t, b.Get(home+"/codes"), 200, say("factor.codes.replaces"))
		p = b.Post(home+"/passkey", url.Values{"name": {"Again"}, "response": {answer}})
		sees(t, p, 422, say("factor.passkey.error.old"))
		p = b.Post(home+"/passkey", url.Values{"name": {"Again"}, "response": {string(k.create(t, here, optionsOf(p)))}})
		sees(t, p, 422, say("factor.passkey.error.known"))
		sees(t, b.Get(home), 200, "Phone", say("factor.passkey.synced"), say("factor.never_used"))
	})
}

func TestPersonRenamesAndRemovesAPasskey(t *testing.T) {
	languages(t, func(t *testing.T, w *world, b *webtest.Browser, say func(string, ...any) string) {
		w.strong(b, w.Realm, w.maria)
		w.register(w.Realm, w.maria, newKey(false))
		list, err := w.factors.Passkeys(t.Context(), w.Realm, w.maria.ID)
		must(t, err)
		one := home + "/passkey/" + list[0].ID.String()
		p := b.Get(one + "/rename")
		sees(t, p, 200, say("factor.rename.title"))
		if p.Value("name") != "Her phone" {
			t.Error("the name is not filled in")
		}
		sees(t, b.Post(one+"/rename", url.Values{"name": {""}}), 422, say("factor.passkey.error.name"))
		leads(t, b.Post(one+"/rename", url.Values{"name": {"<b>Tablet</b>"}}), "/patient"+home+"?done=passkey-renamed")
		sees(t, b.Get(home+"?done=passkey-renamed"), 200, say("factor.done.renamed"), "<b>Tablet</b>")
		sees(t, b.Get(one+"/remove"), 200, say("factor.remove.title_passkey"), say("factor.remove.last"), "<b>Tablet</b>")
		leads(t, b.Post(one+"/remove", nil), "/patient"+home+"?done=passkey-removed")
		sees(t, b.Get(home+"?done=passkey-removed"), 200, say("factor.done.passkey_removed"), say("factor.sign_out_others"))
		for _, gone := range []string{one + "/remove", one + "/rename", home + "/passkey/nonsense/remove"} {
			if p := b.Get(gone); p.Status != 404 {
				t.Errorf("%s: %d", gone, p.Status)
			}
		}
	})
}

func TestPersonRemovesTheApp(t *testing.T) {
	languages(t, func(t *testing.T, w *world, b *webtest.Browser, say func(string, ...any) string) {
		if p := b.Get(home + "/app/remove"); p.Status != 404 {
			t.Errorf("there is none: %d", p.Status)
		}
		_, _ = w.withApp(w.maria)
		w.strong(b, w.Realm, w.maria)
		w.register(w.Realm, w.maria, newKey(false))
		p := b.Get(home + "/app/remove")
		sees(t, p, 200, say("factor.remove.title_app"), say("factor.remove.effect_app"))
		if strings.Contains(p.Text(), say("factor.remove.last")) {
			t.Error("it is not the last one")
		}
		leads(t, b.Post(home+"/app/remove", nil), "/patient"+home+"?done=app-removed")
		sees(t, b.Get(home+"?done=app-removed"), 200, say("factor.done.app_removed"), say("factor.others"))
		leads(t, b.Post(home+"/app/remove", nil), "/patient"+home+"?done=app-removed") // a second click
	})
}

func TestTheLastFactorCannotBeRemovedWhereOneIsDemanded(t *testing.T) {
	languages(t, func(t *testing.T, w *world, _ *webtest.Browser, say func(string, ...any) string) {
		r := demanding(w.Realm)
		b := w.BrowserOf(r, w.pages().Mount)
		w.strong(b, r, w.maria)
		sees(t, b.Get(home), 200, say("factor.must"))
		_, _ = w.withApp(w.maria)
		p := b.Get(home + "/app/remove")
		sees(t, p, 200, say("factor.remove.required"))
		if strings.Contains(p.Body, `class="danger"`) {
			t.Error("a button that does nothing")
		}
		b.Get(form)
		sees(t, b.Post(home+"/app/remove", nil), 422, say("factor.remove.error.required"))

		w.register(r, w.maria, newKey(false))
		must(t, w.factors.RemoveTOTP(t.Context(), r, w.maria, w.by))
		list, err := w.factors.Passkeys(t.Context(), r, w.maria.ID)
		must(t, err)
		b.Get(form)
		sees(t, b.Post(home+"/passkey/"+list[0].ID.String()+"/remove", nil), 422, say("factor.remove.error.required"))
	})
}

func TestAnAccountFullOfPasskeysIsTold(t *testing.T) {
	languages(t, func(t *testing.T, w *world, _ *webtest.Browser, say func(string, ...any) string) {
		r := *w.Realm
		r.Factors.PasskeysPerPerson = 1
		b := w.BrowserOf(&r, w.pages().Mount)
		w.strong(b, &r, w.maria)
		p := b.Get(home + "/passkey")
		answer := newKey(false).create(t, here, optionsOf(p))
		w.register(&r, w.maria, newKey(false))
		sees(t, b.Post(home+"/passkey", url.Values{"name": {"x"}, "response": {string(answer)}}), 422, say("factor.passkey.error.full"))
		sees(t, b.Get(home+"/passkey"), 200, say("factor.passkey.full"))
		sees(t, b.Get(home), 200, say("factor.passkey.full"))
	})
}

func TestAnOpenBrowserIsNotEnoughToChangeFactors(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	b := w.Browser(w.pages().Mount)
	for _, path := range []string{"", "/app", "/passkey", "/codes"} {
		if p := b.Get(home + path); p.Status != 303 || !strings.HasPrefix(p.Location(), "/patient/signin?") {
			t.Errorf("%s signed out: %d %s", path, p.Status, p.Location())
		}
	}
	w.SignIn(b, w.maria)
	setup := b.Get(home + "/app")
	secret := strings.ReplaceAll(keyOnPage.FindStringSubmatch(setup.Body)[1], " ", "")
	dbtest.Advance(w.DB, w.Realm.Lifetimes.Reauthentication+time.Second)
	for _, path := range []string{"", "/app", "/passkey", "/codes", "/app/remove"} {
		if p := b.Get(home + path); p.Status != 303 || !strings.HasPrefix(p.Location(), "/patient/account/confirm?") {
			t.Errorf("%s after a while: %d %s", path, p.Status, p.Location())
		}
	}
	if p := b.Post(home+"/app", url.Values{"code": {w.codeAt(secret, 0)}}); p.Status != 303 || w.summary(w.maria).Any() {
		t.Errorf("a form from before: %d", p.Status)
	}
}

func TestASessionFromBeforeTheFactorCannotTouchIt(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	thief := w.Browser(w.pages().Mount)
	w.SignIn(thief, w.maria) // with the password alone
	stale := thief.Get(home + "/app")
	stolen := strings.ReplaceAll(keyOnPage.FindStringSubmatch(stale.Body)[1], " ", "")
	_, _ = w.withApp(w.maria)
	w.register(w.Realm, w.maria, newKey(false))
	list, err := w.factors.Passkeys(t.Context(), w.Realm, w.maria.ID)
	must(t, err)
	one := home + "/passkey/" + list[0].ID.String()
	for path, form := range map[string]url.Values{home + "/app/remove": nil, one + "/remove": nil, one + "/rename": {"name": {"mine"}},
		home + "/codes": nil, home + "/app": {"code": {w.codeAt(stolen, 0)}}, home + "/passkey": {"name": {"mine"}, "response": {"{}"}}} {
		if p := thief.Post(path, form); p.Status != 303 || !strings.HasPrefix(p.Location(), "/patient/signin/second?return_to=") {
			t.Errorf("%s: %d %s", path, p.Status, p.Location())
		}
	}
	if s := w.summary(w.maria); s.Passkeys != 1 || !s.TOTP || s.RecoveryCodes != 10 {
		t.Errorf("%+v", s)
	}
}

func TestSomebodyElsesPasskeyHasNoPages(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.register(w.Realm, w.maria, newKey(false))
	list, err := w.factors.Passkeys(t.Context(), w.Realm, w.maria.ID)
	must(t, err)
	other := w.Person("second@example.test")
	b := w.Browser(w.pages().Mount)
	w.SignIn(b, other)
	b.Get(home)
	for _, path := range []string{"/rename", "/remove"} {
		if p := b.Get(home + "/passkey/" + list[0].ID.String() + path); p.Status != 404 {
			t.Errorf("GET %s: %d", path, p.Status)
		}
		b.Get(form)
		if p := b.Post(home+"/passkey/"+list[0].ID.String()+path, url.Values{"name": {"mine"}}); p.Status != 404 {
			t.Errorf("POST %s: %d", path, p.Status)
		}
	}
}

func TestCodesAreOfferedToThoseWithAFactorOnly(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	b := w.Browser(w.pages().Mount)
	w.SignIn(b, w.maria)
	leads(t, b.Get(home+"/codes"), "/patient"+home)
	b.Get(form)
	leads(t, b.Post(home+"/codes", nil), "/patient"+home)
}

func TestWhoSignsOutTheOthersStaysHere(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	pages := w.pages()
	b, other := w.Browser(pages.Mount), w.Browser(pages.Mount)
	w.strong(b, w.Realm, w.maria)
	w.strong(other, w.Realm, w.maria)
	b.Get(home + "?done=app")
	if p := b.Post("/account/sessions/end-others", nil); p.Status != 303 {
		t.Fatal(p.Status)
	}
	sees(t, b.Get(home), 200)
	if p := other.Get(home); p.Status != 303 {
		t.Errorf("the other browser: %d", p.Status)
	}
}

// What a GET or a HEAD asks for, a browser that reads ahead asks for too: the
// code that was scanned stays good, whatever looks at the page.
func TestLookingAtThePageAgainKeepsTheScannedCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.Browser(w.pages().Mount)
		w.SignIn(b, w.maria)
		shown := func(b *webtest.Browser) string {
			t.Helper()
			p := b.Get(home + "/app")
			if p.Status != http.StatusOK {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
			return strings.ReplaceAll(keyOnPage.FindStringSubmatch(p.Body)[1], " ", "")
		}
		scanned := shown(b)
		if shown(b) != scanned {
			t.Error("a second tab shows another code")
		}
		other := w.Browser(w.pages().Mount)
		w.SignIn(other, w.maria)
		if shown(other) == scanned {
			t.Error("another session is shown the same code")
		}
		if p := b.Post(home+"/app", url.Values{"code": {w.codeAt(scanned, 0)}}); p.Status != http.StatusOK || !w.summary(w.maria).TOTP {
			t.Errorf("the code that was scanned first: %d %s", p.Status, p.Text())
		}
	})
}
