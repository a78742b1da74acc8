package signin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/gin-gonic/gin"
	"github.com/pquerna/otp/totp"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/signin"
	"github.com/portico-id/portico/internal/web/webtest"
)

type world struct {
	*accounttest.World
	factors *factor.Service
	service *signin.Service
	mount   func(g *gin.Engine)
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) { fn(t, newWorld(t, db)) })
}

func newWorld(t *testing.T, db *database.DB) *world {
	t.Helper()
	w := &world{World: accounttest.New(t, db)}
	w.factors = factor.NewService(factor.Deps{DB: db, Sealer: w.Sealer, Limits: w.Limits, Audit: w.Audit,
		Accounts: w.Accounts, Sessions: w.Sessions, Grants: w.Grants})
	w.service = signin.NewService(signin.Deps{DB: db, Accounts: w.Accounts, Factors: w.factors,
		Throttle: w.Throttle, Limits: w.Limits, Sessions: w.Sessions, Grants: w.Grants, Audit: w.Audit})
	h := signin.NewHandler(w.Pages, w.service, flows{}, w.Typed, w.Sealer.DeriveKey(signin.DeviceKeyPurpose, 32))
	pages := account.NewHandler(w.Pages, w.Accounts)
	w.mount = func(g *gin.Engine) { h.Mount(g); pages.Mount(g) }
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// app is an authenticator app.
type app struct {
	w      *world
	secret string
}

func appOf(w *world, key string) app { return app{w, strings.ReplaceAll(key, " ", "")} }

// next is a code that was not used before: time goes on until there is one.
func (a app) next() string {
	a.w.T.Helper()
	dbtest.Advance(a.w.DB, 31*time.Second)
	return a.now()
}

func (a app) now() string {
	a.w.T.Helper()
	code, err := totp.GenerateCode(a.secret, a.w.DB.Now(context.Background()))
	must(a.w.T, err)
	return code
}

// bad is a code that is not right at this moment.
func (a app) bad() string {
	a.w.T.Helper()
	now := a.w.DB.Now(context.Background())
	for _, code := range []string{"000000", "111111", "222222", "333333"} {
		right := false
		for step := -2; step <= 2; step++ {
			one, err := totp.GenerateCode(a.secret, now.Add(time.Duration(step)*30*time.Second))
			must(a.w.T, err)
			right = right || one == code
		}
		if !right {
			return code
		}
	}
	a.w.T.Fatal("all codes are right")
	return ""
}

// mine is who sets an authenticator app up beside the pages.
var mine = factor.HolderOf("a session of My Account")

// withApp gives a person an authenticator app.
func (w *world) withApp(a account.Account) (app, []string) {
	w.T.Helper()
	ctx := context.Background()
	setup, err := w.factors.BeginTOTP(ctx, w.Realm, a, mine)
	must(w.T, err)
	it := appOf(w, setup.Key)
	codes, err := w.factors.FinishTOTP(ctx, w.Realm, a, mine, it.now(), account.By{Actor: a.Actor()})
	must(w.T, err)
	return it, codes
}

var here = virtualwebauthn.RelyingParty{ID: "localhost", Name: "Maple Clinic", Origin: "http://localhost:9000"}

// key is an authenticator with one passkey.
type key struct {
	device virtualwebauthn.Authenticator
	cred   virtualwebauthn.Credential
}

func newKey() *key {
	for {
		// A key whose coordinates have no leading zero byte: the library drops
		// those, and one key of 128 would be malformed.
		if c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2); len(c.Key.AttestationData()) == 77 {
			return &key{device: virtualwebauthn.NewAuthenticator(), cred: c}
		}
	}
}

// create answers the options of a page.
func (k *key) create(t *testing.T, options string) string {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(options)
	must(t, err)
	k.device.Options.UserHandle = []byte(parsed.UserID)
	return virtualwebauthn.CreateAttestationResponse(here, k.device, k.cred, *parsed)
}

func (k *key) get(t *testing.T, options string) string {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(options)
	must(t, err)
	return virtualwebauthn.CreateAssertionResponse(here, k.device, k.cred, *parsed)
}

// withPasskey gives a person of a realm a passkey.
func (w *world) withPasskey(r *realm.Realm, a account.Account) *key {
	w.T.Helper()
	ctx, k, browser := context.Background(), newKey(), []byte("the browser of Maria, as a hash!")
	options, err := w.factors.Creation(ctx, r, browser, a)
	must(w.T, err)
	must(w.T, w.factors.FinishPasskey(ctx, r, browser, a, []byte(k.create(w.T, string(options))), "Her phone", account.By{Actor: a.Actor()}))
	return k
}

const (
	second     = "/signin/second"
	secondFlow = "/signin/second?flow=0192f0c1-1111-7000-8000-000000000001"
)

// half types the right password, and insists on the second step.
func (w *world) half(b *webtest.Browser, path string) *webtest.Page {
	w.T.Helper()
	p := try(b, path, accounttest.Email, accounttest.Password)
	if p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Location(), "/patient/signin/") {
		w.T.Fatalf("no second step: %d %s", p.Status, p.Location())
	}
	return b.Get(strings.TrimPrefix(p.Location(), "/patient"))
}

// sessionOf is the open session of a browser, or nil.
func (w *world) sessionOf(b *webtest.Browser) *session.Session {
	w.T.Helper()
	tok, err := secret.ParseToken(b.Cookie(""))
	if err != nil {
		return nil
	}
	s, err := w.Sessions.Find(context.Background(), w.Realm, tok)
	must(w.T, err)
	return s
}

func (w *world) sessions() int {
	w.T.Helper()
	return w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`)
}

// details are those of the newest audit event of a kind.
func (w *world) details(kind string) map[string]any {
	w.T.Helper()
	var raw string
	must(w.T, w.DB.QueryRow(context.Background(), `SELECT details FROM audit_events WHERE kind = $1 ORDER BY recorded_at DESC, id DESC LIMIT 1`, kind).Scan(&raw))
	var out map[string]any
	must(w.T, json.Unmarshal([]byte(raw), &out))
	return out
}

// copyOf is a browser with the same cookies: another tab, or one that was
// stolen whole.
func copyOf(b *webtest.Browser, kinds ...string) *webtest.Browser {
	c := b.Another()
	c.Header = b.Header.Clone()
	for _, kind := range kinds {
		c.SetCookie(kind, b.Cookie(kind))
	}
	return c
}

func code(c string) url.Values { return url.Values{"code": {c}} }

var by = account.By{Actor: "system"}

// create makes an active account in a realm.
func create(w *world, r *realm.Realm, email string) account.Account {
	w.T.Helper()
	a, err := w.Accounts.Create(context.Background(), r, account.New{LoginEmail: email, State: account.Active, GivenName: "Pat",
		FamilyName: "Rivera", Password: accounttest.Password})
	must(w.T, err)
	return a
}

// goes looks at a page that sends the browser on.
func (w *world) goes(b *webtest.Browser, from, to string) {
	w.T.Helper()
	if p := b.Get(from); p.Status != http.StatusSeeOther || p.Location() != "/patient"+to {
		w.T.Errorf("%s: %d %s, want %s", from, p.Status, p.Location(), to)
	}
}
