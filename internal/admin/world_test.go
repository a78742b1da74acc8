package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
)

func init() { gin.SetMode(gin.ReleaseMode) }

const audience = "https://id.example.test/admin/v1"

// world is the API over a real database, real accounts and real outbox, with
// two practices. What oauth and recovery fill in is kept by the test.
type world struct {
	t      *testing.T
	db     *database.DB
	people *practice.Store
	api    *API
	server http.Handler
	tokens *tokens
	links  *ledger
	log    *bytes.Buffer

	accounts         *account.Service
	patients, staffs *realm.Realm

	oak, elm                        practice.Practice
	front, viewer, nobody, elmFront uuid.UUID
	boss, boss2, elmBoss            uuid.UUID // administrators
	factors                         *factors
	rosa, shared, invited, off      uuid.UUID
	mia, zoe                        uuid.UUID
	miaRosa, miaShared, miaInvited  uuid.UUID
	miaOff, miaEnded, miaBarred     uuid.UUID
	zoeShared, zoeTina              uuid.UUID
}

func build(t *testing.T, db *database.DB, limits ...Limits) *world {
	t.Helper()
	w := &world{t: t, db: db, log: &bytes.Buffer{}, tokens: &tokens{claims: map[string]Claims{}}}
	patients := w.realm(realm.Realm{Name: "patient", Kind: realm.Patient, Issuer: "https://id.example.test/patient",
		Brand: realm.Brand{Name: "Patient Portal", SupportPhone: "555-0100", SupportEmail: "help@example.test"}})
	staff := w.realm(realm.Realm{Name: "practice", Kind: realm.Practice, Issuer: "https://id.example.test/practice"})
	w.patients, w.staffs = patients, staff
	sealer, err := secret.NewSealer(bytes.Repeat([]byte{7}, 32))
	w.must(err)
	trail, err := audit.New(db, audit.Options{Keys: [][]byte{sealer.DeriveKey(audit.KeyPurpose, 32)}})
	w.must(err)
	outbox, err := mail.New(mail.Options{DB: db, Sealer: sealer, From: "portal@example.test"})
	w.must(err)
	w.people = practice.New(db, practice.Realms{Patient: "patient", Practice: "practice"}, trail)
	w.links = &ledger{db: db, outbox: outbox}
	accounts := account.NewService(account.Deps{DB: db, Sessions: session.NewManager(db), Outbox: outbox, Audit: trail})
	accounts.Connect(account.Peers{Grants: noGrants{}, Tickets: w.links, Directory: w.people})
	w.accounts, w.factors = accounts, &factors{has: map[uuid.UUID]account.FactorSummary{}}
	d := Deps{DB: db, Patient: patients, Practice: staff, Audience: audience, BaseURL: "https://id.example.test",
		Tokens: w.tokens, Accounts: accounts, People: w.people, Links: w.links, Timeline: w.links,
		Waivers: w.links, Factors: w.factors, Letters: outbox, Audit: trail,
		Limiter: ratelimit.New(db), Sealer: sealer, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, nil))}
	if len(limits) > 0 {
		d.Limits = limits[0]
	}
	w.api, err = New(d)
	w.must(err)
	engine := gin.New()
	w.api.Mount(engine)
	w.server = engine
	w.populate()
	return w
}

func (w *world) populate() {
	ctx := w.t.Context()
	w.oak = practice.Practice{ID: database.NewID(), Name: "Oak Street Pediatrics", SupportPhone: "555-0111"}
	w.elm = practice.Practice{ID: database.NewID(), Name: "Elm Family Care"}
	w.must(w.people.UpsertPractice(ctx, w.oak))
	w.must(w.people.UpsertPractice(ctx, w.elm))
	w.front = w.staff("front", w.oak, practice.FrontDesk)
	w.viewer = w.staff("viewer", w.oak, practice.Viewer, practice.Provider)
	w.nobody = w.staff("nobody", w.oak)
	w.elmFront = w.staff("elm", w.elm, practice.FrontDesk)
	w.boss = w.staff("boss", w.oak, practice.Administrator)
	w.boss2 = w.staff("boss2", w.oak, practice.Administrator, practice.Provider)
	w.elmBoss = w.staff("elmboss", w.elm, practice.Administrator)
	w.rosa = w.account("patient", "rosa@example.test", "Rosa Cruz", "active")
	w.shared = w.account("patient", "sam@example.test", "Sam Núñez", "active")
	w.invited = w.account("patient", "ina@example.test", "Ina Vited", "invited")
	w.off = w.account("patient", "otto@example.test", "Otto Off", "disabled")
	ended := w.account("patient", "enda@example.test", "Enda Past", "active")
	barred := w.account("patient", "bea@example.test", "Bea Barred", "active")
	tina := w.account("patient", "tina@example.test", "Tina Elm", "active")
	w.mia = w.patient(w.oak, "AC-1", "Mía", "Cruz")
	w.zoe = w.patient(w.elm, "AC-1", "Zoë", "Núñez")
	w.miaRosa = w.tie(practice.Association{PatientID: w.mia, AccountID: w.rosa, PortalAccess: true})
	w.miaShared = w.tie(practice.Association{PatientID: w.mia, AccountID: w.shared, PortalAccess: true})
	w.miaInvited = w.tie(practice.Association{PatientID: w.mia, AccountID: w.invited, PortalAccess: true})
	w.miaOff = w.tie(practice.Association{PatientID: w.mia, AccountID: w.off, PortalAccess: true})
	w.miaEnded = w.tie(practice.Association{PatientID: w.mia, AccountID: ended, PortalAccess: true, EndsOn: "2020-01-31"})
	w.miaBarred = w.tie(practice.Association{PatientID: w.mia, AccountID: barred})
	w.zoeShared = w.tie(practice.Association{PatientID: w.zoe, AccountID: w.shared, PortalAccess: true})
	w.zoeTina = w.tie(practice.Association{PatientID: w.zoe, AccountID: tina, PortalAccess: true})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) realm(r realm.Realm) *realm.Realm {
	w.t.Helper()
	out, err := realm.New(r, nil)
	w.must(err)
	return out
}

func (w *world) account(realm, email, name, state string) uuid.UUID {
	w.t.Helper()
	id, now := database.NewID(), w.db.Now(w.t.Context())
	given, family, _ := strings.Cut(name, " ")
	_, err := w.db.Exec(w.t.Context(), `
		INSERT INTO accounts (id, realm, login_email, email_verified, state, given_name, family_name, name, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`, id, realm, email, state == "active", state, given, family, name, now)
	w.must(err)
	return id
}

// staff makes a member of staff and a fresh token of the same name.
func (w *world) staff(name string, p practice.Practice, roles ...practice.Role) uuid.UUID {
	w.t.Helper()
	id := w.account("practice", name+"@staff.example.test", name+" Staff", "active")
	w.must(w.people.SetRoles(w.t.Context(), id, p.ID, roles...))
	w.tokens.set(name, Claims{AccountID: id, ClientID: "portal", Scopes: []string{"admin.read", "admin.manage"}, AuthTime: w.db.Now(w.t.Context())})
	return id
}

func (w *world) patient(p practice.Practice, number, given, family string) uuid.UUID {
	w.t.Helper()
	id, err := w.people.UpsertPatient(w.t.Context(), practice.Patient{PracticeID: p.ID, AccountNumber: number, GivenName: given, FamilyName: family})
	w.must(err)
	return id
}

func (w *world) tie(a practice.Association) uuid.UUID {
	w.t.Helper()
	a.Relationship, a.Authority = "parent", "full"
	id, err := w.people.UpsertAssociation(w.t.Context(), a)
	w.must(err)
	return id
}

// tieTo makes an account a guardian with portal access.
func (w *world) tieTo(patient, account uuid.UUID) uuid.UUID {
	w.t.Helper()
	return w.tie(practice.Association{PatientID: patient, AccountID: account, PortalAccess: true})
}

// call is one request; token names a token, "" sends none.
type call struct {
	method, path, token, body string
	header                    map[string]string
}

type reply struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

func (w *world) do(c call) reply {
	w.t.Helper()
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	r := httptest.NewRequest(c.method, c.path, body).WithContext(context.Background())
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	out := reply{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &out.json)
	if out.status >= 400 {
		if ct := out.header.Get("Content-Type"); ct != "application/problem+json" {
			w.t.Errorf("%s %s: %d as %q: %s", c.method, c.path, out.status, ct, out.raw)
		}
		if got, _ := out.json["status"].(float64); int(got) != out.status {
			w.t.Errorf("%s %s: %d says status %v", c.method, c.path, out.status, out.json["status"])
		}
	}
	return out
}

func (r reply) code() string { s, _ := r.json["code"].(string); return s }

// want checks a status and, for problems, a code.
func (w *world) want(r reply, status int, code string) reply {
	w.t.Helper()
	if r.status != status || r.code() != code {
		w.t.Errorf("got %d %s, want %d %s: %s", r.status, r.code(), status, code, r.raw)
	}
	return r
}

func (w *world) get(path, token string) reply {
	w.t.Helper()
	return w.do(call{method: "GET", path: Path + path, token: token})
}

func (w *world) patch(association uuid.UUID, token, etag, email string) reply {
	w.t.Helper()
	body, _ := json.Marshal(map[string]string{"login_email": email, "reason": "called in"})
	c := call{method: "PATCH", path: Path + "/associations/" + association.String() + "/login-email", token: token, body: string(body)}
	if etag != "" {
		c.header = map[string]string{"If-Match": etag}
	}
	return w.do(c)
}

func (w *world) reset(association uuid.UUID, token, key, email string) reply {
	w.t.Helper()
	body, _ := json.Marshal(map[string]string{"confirm_login_email": email, "reason": "forgot it"})
	c := call{method: "POST", path: Path + "/associations/" + association.String() + "/password-resets", token: token, body: string(body)}
	if key != "" {
		c.header = map[string]string{"Idempotency-Key": key}
	}
	return w.do(c)
}

// post sends a body with an Idempotency-Key; an empty body is none.
func (w *world) post(path, token, key, body string) reply {
	w.t.Helper()
	c := call{method: "POST", path: Path + path, token: token, body: body}
	if key != "" {
		c.header = map[string]string{"Idempotency-Key": key}
	}
	return w.do(c)
}

func (w *world) delete(path, token, etag string) reply {
	w.t.Helper()
	c := call{method: "DELETE", path: Path + path, token: token}
	if etag != "" {
		c.header = map[string]string{"If-Match": etag}
	}
	return w.do(c)
}

// member is the place of somebody in a practice's staff.
func (w *world) member(account uuid.UUID, p practice.Practice) uuid.UUID {
	w.t.Helper()
	var id uuid.UUID
	w.must(w.db.QueryRow(w.t.Context(), `SELECT id FROM staff_members WHERE account_id = $1 AND practice_id = $2`, account, p.ID).Scan(&id))
	return id
}

// exec changes a row behind the API's back.
func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), query, args...)
	w.must(err)
}

// fresh renews the sign-ins after the clock was advanced.
func (w *world) fresh(names ...string) {
	for _, name := range names {
		c := w.tokens.claims[name]
		c.AuthTime = w.db.Now(w.t.Context())
		w.tokens.set(name, c)
	}
}

func (w *world) count(query string, args ...any) int {
	w.t.Helper()
	var n int64
	w.must(w.db.QueryRow(w.t.Context(), query, args...).Scan(&n))
	return int(n)
}

func (w *world) tickets() int { return w.count(`SELECT COUNT(*) FROM recovery_tickets`) }

func (w *world) events(kind string) int {
	return w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = $1`, kind)
}

func (w *world) lettersTo(kind, to string) int {
	return w.count(`SELECT COUNT(*) FROM mail_outbox WHERE kind = $1 AND recipient = $2 AND state = 'queued'`, kind, to)
}

// each runs a test on both engines in a world of its own.
func each(t *testing.T, fn func(w *world)) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) { fn(build(t, db)) })
}

func path(format string, args ...any) string { return Path + fmt.Sprintf(format, args...) }
