package admin

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
)

var (
	anyID     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyMoment = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)
)

// transcript is what staff can find out about an address that they invite:
// every answer, byte by byte, but for identifiers, moments and the address.
type transcript struct {
	w     *world
	email string
	lines []string
}

func (s *transcript) note(what string, r reply) reply {
	body := anyMoment.ReplaceAllString(anyID.ReplaceAllString(strings.ReplaceAll(r.raw, s.email, "ADDRESS"), "ID"), "MOMENT")
	s.lines = append(s.lines, fmt.Sprintf("%s: %d %s %s", what, r.status, r.header.Get("ETag"), body))
	return r
}

func (s *transcript) must(equal *transcript, what string) {
	s.w.t.Helper()
	if len(s.lines) != len(equal.lines) {
		s.w.t.Fatalf("%s: %d and %d answers", what, len(s.lines), len(equal.lines))
	}
	for i, line := range s.lines {
		if line != equal.lines[i] {
			s.w.t.Errorf("%s is told apart by\n%s\nwhere a new account says\n%s", what, line, equal.lines[i])
		}
	}
}

// invites writes down what the practice learns when it invites an address.
func (w *world) invites(email string) *transcript {
	w.t.Helper()
	s := &transcript{w: w, email: email}
	key := func(k string) string { return k + email }
	patient := w.patient(w.oak, "AC-"+uuid.NewString(), "Pia", "Invited").String()
	sibling := w.patient(w.oak, "AC-"+uuid.NewString(), "Pia", "Invited").String()
	s.note("invite", w.want(w.post("/patients/"+patient+"/associations", "front", key("a"), invitation(email)), 201, ""))
	var at string
	look := func() {
		for _, who := range []string{"front", "boss", "viewer"} {
			at = "/associations/" + s.note("associations", w.get("/patients/"+patient, who)).json["associations"].([]any)[0].(map[string]any)["id"].(string)
			s.note("association", w.get(at, who))
		}
		for _, q := range []string{"by=account&q=neu", "by=account&q=" + email, "by=account&q=owner", "access=active", "access=invited", "access=none"} {
			found := w.get("/patients?limit=100&"+q, "viewer")
			s.lines = append(s.lines, fmt.Sprint(strings.ReplaceAll(q, email, "ADDRESS"), " finds it: ", strings.Contains(found.raw, patient)))
		}
	}
	look()
	s.note("a sibling", w.post("/patients/"+sibling+"/associations", "front", key("sibling"), strings.Replace(invitation(email), "Ned", "Tom", 1)))
	s.note("the sibling", w.get("/patients/"+sibling, "front"))
	s.note("again at once", w.post(at+"/invitation", "front", key("b"), ""))
	dbtest.Advance(w.db, 6*time.Minute)
	s.note("again", w.post(at+"/invitation", "front", key("c"), ""))
	look()
	id := uuid.MustParse(strings.TrimPrefix(at, "/associations/"))
	s.note("change", w.patch(id, "boss", `"1"`, "else."+email))
	s.note("reset", w.reset(id, "boss", key("d"), email))
	s.note("unfreeze", w.post(at+"/account/unfreeze", "boss", key("e"), seen))
	s.note("factors", w.post(at+"/account/second-factor-removal", "boss", key("f"), seen))
	s.note("cancel change", w.delete(at+"/login-email-change", "boss", ""))
	s.note("take back", w.delete(at+"/invitation", "front", ""))
	look()
	dbtest.Advance(w.db, 6*time.Minute)
	s.note("invite again", w.post("/patients/"+patient+"/associations", "front", key("g"), invitation(email)))
	look()
	return s
}

// Staff who know an address learn nothing about its owner by inviting it.
func TestInvitingAnAddressRevealsNothingOfItsOwner(t *testing.T) {
	each(t, func(w *world) {
		w.api.d.Limits.InvitationsPerDay = 1000
		fresh := w.invites("nobody@example.test")
		for _, state := range []string{"active", "invited", "disabled", "frozen"} {
			email := state + "@example.test"
			id := w.account("patient", email, "Real Owner", strings.Replace(state, "frozen", "active", 1))
			w.factors.has[id] = account.FactorSummary{TOTP: true}
			w.exec(`UPDATE accounts SET last_signed_in_at = $2, locale = 'es', version = 9 WHERE id = $1`, id, w.db.Now(w.t.Context()))
			if state == "frozen" {
				w.must(w.accounts.Freeze(w.t.Context(), w.patients, id, account.By{Actor: "anonymous"}))
			}
			w.tieTo(w.zoe, id)
			w.fresh("front", "boss", "viewer")
			w.invites(email).must(fresh, state)
			if n := w.lettersTo("access_added", email); state == "active" && n != 3 {
				w.t.Errorf("the owner was told %d times", n)
			}
		}
		// Once the owner has signed in, the account is shown, and found.
		dbtest.Advance(w.db, time.Minute)
		w.exec(`UPDATE accounts SET last_signed_in_at = $1 WHERE login_email = 'active@example.test'`, w.db.Now(w.t.Context()))
		w.must(w.api.CleanUp(w.t.Context()))
		w.fresh("front")
		r := w.want(w.get("/patients?by=account&q=owner", "front"), 200, "")
		if !strings.Contains(r.raw, `"guardian_name":"Real Owner","login_email":"active@example.test","access":"active"`) {
			w.t.Errorf("after the sign-in: %s", r.raw)
		}
	})
}

func TestInvitingStaffRevealsNothingOfTheOwner(t *testing.T) {
	each(t, func(w *world) {
		script := func(email string) *transcript {
			s := &transcript{w: w, email: email}
			at := "/staff/" + s.note("invite", w.want(w.post("/staff", "boss", "a"+email, staffInvitation(email, "viewer")), 201, "")).json["id"].(string)
			s.note("member", w.get(at, "boss"))
			s.note("again at once", w.post(at+"/invitation", "boss", "b"+email, ""))
			dbtest.Advance(w.db, 6*time.Minute)
			s.note("again", w.post(at+"/invitation", "boss", "c"+email, ""))
			s.note("unfreeze", w.post(at+"/unfreeze", "boss", "d"+email, seen))
			s.note("member", w.get(at, "boss"))
			return s
		}
		fresh := script("nobody@else.example.test")
		for _, state := range []string{"active", "invited", "disabled", "frozen"} {
			email := state + "@else.example.test"
			id := w.account("practice", email, "Real Owner", strings.Replace(state, "frozen", "active", 1))
			w.must(w.people.SetRoles(w.t.Context(), id, w.elm.ID, practice.Viewer))
			w.exec(`UPDATE accounts SET last_signed_in_at = $2, version = 9 WHERE id = $1`, id, w.db.Now(w.t.Context()))
			if state == "frozen" {
				w.must(w.accounts.Freeze(w.t.Context(), w.staffs, id, account.By{Actor: "anonymous"}))
			}
			w.fresh("boss")
			script(email).must(fresh, state)
		}
		dbtest.Advance(w.db, time.Minute)
		w.exec(`UPDATE accounts SET last_signed_in_at = $1 WHERE login_email = 'active@else.example.test'`, w.db.Now(w.t.Context()))
		w.fresh("boss")
		if r := w.want(w.get("/staff", "boss"), 200, ""); strings.Count(r.raw, "Real Owner") != 1 || strings.Count(r.raw, "Stan Neu") != 4 {
			w.t.Errorf("after one has signed in: %s", r.raw)
		}
	})
}
