package server_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/secret"
)

// pairs is how many pairs of an existing and an unknown account are compared.
const pairs = 300

// Two medians may differ by this much: 3 ms or 5 %, whichever is more.
const (
	differMS    = 3.0
	differShare = 0.05
)

// BenchmarkDoorsTellNobodyApart measures how long sign-in, forgot password and
// an activation link take for accounts that exist and for those that do not,
// one after the other in random order, and compares the medians. `make timing`.
func BenchmarkDoorsTellNobodyApart(b *testing.B) {
	const slow = 5 * time.Millisecond
	for _, setting := range []struct {
		name   string
		engine string
		delay  time.Duration
		mail   func(testing.TB) *mailServer
	}{
		{"SQLite", "sqlite", 0, startMail},
		{"PostgreSQL", "postgres", 0, startMail},
		{"PostgreSQL with 5 ms more for every question", "postgres", slow, startMail},
		{"SQLite, a mail server that hangs", "sqlite", 0, silentMail},
		{"PostgreSQL, a mail server that hangs", "postgres", 0, silentMail},
	} {
		b.Run(setting.name, func(b *testing.B) {
			for range b.N {
				dsn := seeded(b, setting.engine)
				crowd := newCrowd(b, dsn)
				if setting.delay > 0 {
					dsn = slowLine(b, dsn, setting.delay)
				}
				p := serve(b, dsn, setting.mail(b), func(yaml string) string {
					// The second try at an address is throttled already.
					return strings.ReplaceAll(yaml, "sign_in: {", "sign_in: {delay_from_failure: 1, first_delay: 1m, ")
				})
				p.compare(b, crowd)
			}
		})
	}
}

// crowd is many accounts of each state, and what leads to them.
type crowd struct {
	existing, disabled, invited, unknown []string // addresses
	used, none                           []string // tokens of activation links
}

// newCrowd writes the accounts straight into the database, all with the
// password of one that is there: hashing each would take minutes.
func newCrowd(t testing.TB, dsn string) *crowd {
	t.Helper()
	ctx := context.Background()
	db, err := database.Open(ctx, dsn, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	like := seededPerson(t, "patient", "ngozi.okafor@example.test")
	c := &crowd{}
	now := db.Now(ctx)
	err = db.InTx(ctx, func(ctx context.Context) error {
		for i := range pairs {
			c.unknown = append(c.unknown, fmt.Sprintf("u%d.door@example.test", i))
			c.none = append(c.none, secret.NewToken().Reveal())
			for state, list := range map[string]*[]string{"active": &c.existing, "disabled": &c.disabled, "invited": &c.invited} {
				id, email := database.NewID(), fmt.Sprintf("%.1s%d.door@example.test", state, i)
				*list = append(*list, email)
				if err := copyPerson(ctx, db, like.id, id, email, state); err != nil {
					return err
				}
				if state != "invited" {
					continue
				}
				token := secret.NewToken()
				c.used = append(c.used, token.Reveal())
				if _, err := db.Exec(ctx, `
					INSERT INTO invitations (id, realm, account_id, token_hash, email, created_at, expires_at, voided_at)
					VALUES ($1, 'patient', $2, $3, $4, $5, $6, $5)`, database.NewID(), id, token.Hash(), email, now, now.Add(24*time.Hour)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func copyPerson(ctx context.Context, db *database.DB, from, id uuid.UUID, email, state string) error {
	if _, err := db.Exec(ctx, `
		INSERT INTO accounts (id, realm, login_email, email_verified, state, given_name, family_name, name, locale, created_at, updated_at)
		SELECT $1, realm, $2, email_verified, $3, given_name, family_name, name, locale, created_at, updated_at FROM accounts WHERE id = $4`,
		id, email, state, from); err != nil || state == "invited" {
		return err
	}
	if _, err := db.Exec(ctx, `
		INSERT INTO password_credentials (account_id, hash, changed_at)
		SELECT $1, hash, changed_at FROM password_credentials WHERE account_id = $2`, id, from); err != nil {
		return err
	}
	_, err := db.Exec(ctx, `
		INSERT INTO security_answers (account_id, question, answer_hash, set_at)
		SELECT $1, question, answer_hash, set_at FROM security_answers WHERE account_id = $2`, id, from)
	return err
}

// door is a request that is repeated with other people.
type door struct {
	http   *http.Client
	method string
	to     string
	header http.Header
	fields url.Values
	status int
}

func (p *process) form(b *testing.B, path string, status int) *door {
	b.Helper()
	browser := p.browser(b)
	action, fields := browser.open(p.issuer("patient")+path).form(b, "")
	return &door{p.http, http.MethodPost, action, browser.formHeader(action), fields, status}
}

// knock sends the request and returns how many milliseconds the answer took.
func (d *door) knock(b *testing.B, path string, pairs ...string) float64 {
	b.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		d.fields.Set(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequest(d.method, d.to+path, strings.NewReader(d.fields.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	req.Header = d.header.Clone()
	began := time.Now()
	answer, err := d.http.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	took := time.Since(began)
	answer.Body.Close()
	if err != nil || answer.StatusCode != d.status {
		b.Fatalf("%s %s: %d, want %d; %v", d.method, d.to, answer.StatusCode, d.status, err)
	}
	return took.Seconds() * 1000
}

// compare knocks for everybody and gives a verdict.
func (p *process) compare(b *testing.B, c *crowd) {
	took := map[string][]float64{}
	// round calls what there is in random order, with a pause in which the
	// server's workers finish what a request has left them.
	round := func(pause time.Duration, knocks map[string]func() float64) {
		var names []string
		for name := range knocks {
			names = append(names, name)
		}
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			took[name] = append(took[name], knocks[name]())
			time.Sleep(pause)
		}
	}
	signIn, forgot := p.form(b, "/signin", http.StatusUnprocessableEntity), p.form(b, "/forgot", http.StatusSeeOther)
	activate := &door{http: p.http, method: http.MethodGet, to: p.issuer("patient") + "/activate/", header: http.Header{}, status: http.StatusGone}
	look := &door{http: p.http, method: http.MethodGet, to: p.issuer("patient") + "/forgot", header: http.Header{}, status: http.StatusOK}
	try := func(email string) func() float64 {
		return func() float64 { return signIn.knock(b, "", "email", email, "password", "not the walnut of anybody") }
	}
	ask := func(email string) func() float64 {
		return func() float64 { return forgot.knock(b, "", "email", email) }
	}
	for i := range pairs {
		round(0, map[string]func() float64{"sign-in, existing": try(c.existing[i]), "sign-in, unknown": try(c.unknown[i]),
			"sign-in, disabled": try(c.disabled[i]), "sign-in, invited": try(c.invited[i])})
		round(0, map[string]func() float64{"throttled sign-in, existing": try(c.existing[i]), "throttled sign-in, unknown": try(c.unknown[i])})
		round(0, map[string]func() float64{
			"activation link, used": func() float64 { return activate.knock(b, c.used[i]) },
			"activation link, none": func() float64 { return activate.knock(b, c.none[i]) }})
		round(25*time.Millisecond, map[string]func() float64{"forgot, existing": ask(c.existing[i]), "forgot, unknown": ask(c.unknown[i]),
			"forgot, disabled": ask(c.disabled[i]), "forgot, invited": ask(c.invited[i])})
	}
	// What a request leaves to the workers must not be heard in the next one.
	for i := range pairs {
		after := func(email string) func() float64 {
			return func() float64 { ask(email)(); return look.knock(b, "") }
		}
		// Addresses that were asked for lately are absorbed: these are new.
		round(25*time.Millisecond, map[string]func() float64{"page after forgot, existing": after(c.existing[i]), "page after forgot, unknown": after("x" + c.unknown[i])})
	}
	for _, t := range [][2]string{{"sign-in, existing", "sign-in, unknown"}, {"sign-in, disabled", "sign-in, unknown"}, {"sign-in, invited", "sign-in, unknown"},
		{"throttled sign-in, existing", "throttled sign-in, unknown"},
		{"forgot, existing", "forgot, unknown"}, {"forgot, disabled", "forgot, unknown"}, {"forgot, invited", "forgot, unknown"},
		{"page after forgot, existing", "page after forgot, unknown"}, {"activation link, used", "activation link, none"}} {
		one, other := median(took[t[0]]), median(took[t[1]])
		difference, allowed := math.Abs(one-other), max(differMS, differShare*other)
		verdict := "the same"
		if difference > allowed {
			verdict = "DIFFERENT"
			b.Errorf("%s takes %.2f ms, %s %.2f ms", t[0], one, t[1], other)
		}
		b.Logf("| %s | %.2f | %s | %.2f | %.2f | %.3f | %s |", t[0], one, t[1], other, one-other, mannWhitney(took[t[0]], took[t[1]]), verdict)
	}
}
