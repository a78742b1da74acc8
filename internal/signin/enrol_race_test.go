package signin_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/web/webtest"
)

// Two who know the password set something up at the same time: the first one
// is in, and the other one has to prove what the first one has set up.
func TestOfManyWhoSetSomethingUpAtOnceOneDoes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		w.demand()
		type rival struct {
			b    *webtest.Browser
			form url.Values
			page *webtest.Page
		}
		var rivals []*rival
		for range 6 {
			b := w.browser("192.0.2.1")
			w.half(b, plainPath)
			options := b.Get(enrolPasskey).Value("options")
			rivals = append(rivals, &rival{b: b, form: url.Values{"response": {newKey().create(t, options)}, "name": {"Mine"}}})
		}
		start, all := make(chan struct{}), sync.WaitGroup{}
		for _, r := range rivals {
			all.Go(func() {
				<-start
				r.page = r.b.Post(enrolPasskey, r.form)
			})
		}
		close(start)
		all.Wait()
		in := 0
		for _, r := range rivals {
			switch {
			case r.page.Status == http.StatusOK && w.sessionOf(r.b) != nil:
				in++
			case w.sessionOf(r.b) != nil:
				t.Errorf("%d with a session: %s", r.page.Status, r.page.Text())
			}
		}
		if in != 1 || w.sessions() != 1 || w.Count(`SELECT COUNT(*) FROM passkeys`) != 1 || w.Count(`SELECT COUNT(*) FROM recovery_codes`) != 10 {
			t.Errorf("%d are in, %d sessions, %d passkeys", in, w.sessions(), w.Count(`SELECT COUNT(*) FROM passkeys`))
		}
	})
}
