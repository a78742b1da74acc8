package signin_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account/accounttest"
)

func TestKeepMeSignedIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		keep := url.Values{"email": {accounttest.Email}, "password": {accounttest.Password}, "keep": {"yes"}}
		b := w.browser("192.0.2.1")
		if b.Get(plainPath).Has("keep") {
			t.Error("offered where the realm does not")
		}
		b.Post(plainPath, keep)
		if s := w.sessionOf(b); s == nil || s.Kept {
			t.Errorf("kept where the realm does not offer it: %+v", s)
		}
		w.Realm.Lifetimes.KeptSession = 30 * 24 * time.Hour
		b = w.browser("192.0.2.2")
		p := b.Get(plainPath)
		if !p.Has("keep") || !strings.Contains(p.Text(), "Keep me signed in on this device For up to 30 days. Not on a computer that others use.") {
			t.Errorf("%s", p.Text())
		}
		if p := b.Post(plainPath, url.Values{"email": {accounttest.Email}, "password": {"wrong"}, "keep": {"yes"}}); !strings.Contains(p.Body, " checked") {
			t.Error("the box was forgotten")
		}
		p = b.Post(plainPath, keep)
		if s := w.sessionOf(b); s == nil || !s.Kept || !strings.Contains(strings.Join(p.Header.Values("Set-Cookie"), "\n"), "Max-Age=2592000; HttpOnly; Secure; SameSite=Lax") {
			t.Errorf("%+v %v", s, p.Header.Values("Set-Cookie"))
		}
		// Through the second step, and without the box.
		app, _ := w.withApp(w.Person("other@example.test"))
		for _, keeps := range []bool{true, false} {
			b := w.browser("192.0.2.3")
			b.Get(plainPath)
			form := url.Values{"email": {"other@example.test"}, "password": {accounttest.Password}}
			if keeps {
				form.Set("keep", "yes")
			}
			b.Post(plainPath, form)
			b.Get(second)
			b.Post(second, code(app.next()))
			if s := w.sessionOf(b); s == nil || s.Kept != keeps {
				t.Errorf("keep %t: %+v", keeps, s)
			}
		}
	})
}
