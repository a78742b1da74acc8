package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// added are second factors by the time at which they were added.
type added map[uuid.UUID]time.Time

func (f added) Of(_ context.Context, id uuid.UUID) (account.FactorSummary, error) {
	_, has := f[id]
	return account.FactorSummary{TOTP: has}, nil
}

func (f added) AddedSince(_ context.Context, id uuid.UUID, since time.Time) (bool, error) {
	at, has := f[id]
	return has && !at.Before(since), nil
}

func (f added) RemoveSince(ctx context.Context, _ *realm.Realm, id uuid.UUID, since time.Time, _ account.By) (bool, error) {
	is, err := f.AddedSince(ctx, id, since)
	if is {
		delete(f, id)
	}
	return is, err
}

// protects gives accounts a password, an old one, and connects second factors.
func (w *world) protects(ids ...uuid.UUID) added {
	w.t.Helper()
	f := added{}
	for _, id := range ids {
		w.exec(`INSERT INTO password_credentials (account_id, hash, changed_at) VALUES ($1, 'x', $2)`, id, w.db.Now(w.t.Context()).Add(-time.Hour))
	}
	w.accounts.Connect(account.Peers{Grants: noGrants{}, Tickets: w.links, Directory: w.people, Factors: f})
	return f
}

func (w *world) answers(id uuid.UUID) {
	w.t.Helper()
	w.exec(`INSERT INTO security_answers (account_id, question, answer_hash, set_at) VALUES ($1, 'first_concert', 'x', $2)`, id, w.db.Now(w.t.Context()))
}

// noticed is a notice of an hour ago, whose link works.
func (w *world) noticed(r *realm.Realm, id uuid.UUID) {
	w.t.Helper()
	now := w.db.Now(w.t.Context())
	hash := make([]byte, 32)
	copy(hash, id[:])
	w.exec(`INSERT INTO freeze_links (token_hash, realm, account_id, notice, email, created_at, expires_at) VALUES ($1, $2, $3, 'factor_changed', 'x', $4, $5)`,
		hash, r.Name, id, now.Add(-time.Hour), now.Add(24*time.Hour))
}

func (w *world) frozen(r *realm.Realm, id uuid.UUID) {
	w.t.Helper()
	w.must(w.accounts.Freeze(w.t.Context(), r, id, account.By{Actor: "anonymous"}))
}

// Whoever reads a guardian's mailbox freezes the account with an old notice. The
// front desk must not take the second factor away by letting them in again.
func TestUnfreezingIsNoEasierWayPastASecondFactor(t *testing.T) {
	each(t, func(w *world) {
		f := w.protects(w.rosa)
		at := "/associations/" + w.miaRosa.String()
		f[w.rosa] = w.db.Now(w.t.Context())
		w.noticed(w.patients, w.rosa)
		if view := w.get(at, "front"); fmt.Sprint(view.json["unfreezing_removes"]) != "[]" {
			w.t.Errorf("not frozen: %s", view.raw)
		}
		w.frozen(w.patients, w.rosa)
		view := w.want(w.get(at, "front"), 200, "")
		why, _ := view.json["unfreeze_blocked_reason"].(string)
		if fmt.Sprint(view.json["unfreezing_removes"]) != "[password second_factors]" || dig(view.json, "can", "unfreeze") != false ||
			!strings.Contains(why, "takes away second factors") || !strings.Contains(why, "an administrator has to do it") {
			w.t.Errorf("the front desk: %s", view.raw)
		}
		if r := w.want(w.post(at+"/account/unfreeze", "front", "a", seen), 403, "permission"); r.json["detail"] != why {
			w.t.Errorf("%s", r.raw)
		}
		w.newcomer("boss", "second")
		if r := w.want(w.post(at+"/account/unfreeze", "second", "a", seen), 403, "recent_role"); !strings.Contains(r.json["detail"].(string), "takes away second factors") {
			w.t.Errorf("%s", r.raw)
		}
		// Nor while the address is new, whoever it is.
		changed := w.db.Now(w.t.Context()).Add(-6 * 24 * time.Hour)
		w.exec(`UPDATE accounts SET email_changed_at = $2 WHERE id = $1`, w.rosa, changed)
		r := w.want(w.post(at+"/account/unfreeze", "boss", "a", seen), 409, "email_changed_recently")
		if detail := r.json["detail"].(string); !strings.Contains(detail, changed.Add(7*24*time.Hour).Format("2 January 2006, 15:04 MST")) || !strings.Contains(detail, "takes away second factors") {
			w.t.Errorf("%s", r.raw)
		}
		if _, has := f[w.rosa]; !has || w.events("account.unfrozen") != 0 {
			w.t.Fatal("refused, and done all the same")
		}
		w.exec(`UPDATE accounts SET email_changed_at = $2 WHERE id = $1`, w.rosa, changed.Add(-24*time.Hour-time.Minute))
		if view := w.get(at, "boss"); dig(view.json, "can", "unfreeze") != true || fmt.Sprint(view.json["unfreezing_removes"]) != "[password second_factors]" {
			w.t.Errorf("an administrator: %s", view.raw)
		}
		w.want(w.post(at+"/account/unfreeze", "boss", "b", seen), 200, "")
		if _, has := f[w.rosa]; has {
			w.t.Error("it was said to go")
		}
	})
}

// The question is what stands between a link and the account of most people.
func TestUnfreezingIsNoEasierWayPastTheQuestion(t *testing.T) {
	each(t, func(w *world) {
		w.protects(w.rosa)
		at := "/associations/" + w.miaRosa.String()
		w.answers(w.rosa)
		w.noticed(w.patients, w.rosa)
		w.frozen(w.patients, w.rosa)
		if view := w.get(at, "front"); fmt.Sprint(view.json["unfreezing_removes"]) != "[password security_question]" ||
			!strings.Contains(view.json["unfreeze_blocked_reason"].(string), "takes away the security question") {
			w.t.Errorf("%s", view.raw)
		}
		w.want(w.post(at+"/account/unfreeze", "front", "a", seen), 403, "permission")
		w.want(w.post(at+"/account/unfreeze", "boss", "a", seen), 200, "")
		if w.count(`SELECT COUNT(*) FROM security_answers`) != 0 {
			w.t.Error("it was said to go")
		}
	})
}

// Where only the password goes it is the front desk's, as before.
func TestTheFrontDeskUnfreezesWhereNothingElseGoes(t *testing.T) {
	each(t, func(w *world) {
		f := w.protects(w.rosa)
		f[w.rosa] = w.db.Now(w.t.Context()).Add(-2 * time.Hour)
		w.answers(w.rosa)
		dbtest.Advance(w.db, 2*time.Hour)
		w.fresh("front")
		at := "/associations/" + w.miaRosa.String()
		w.noticed(w.patients, w.rosa)
		w.frozen(w.patients, w.rosa)
		if view := w.get(at, "front"); fmt.Sprint(view.json["unfreezing_removes"]) != "[password]" || dig(view.json, "can", "unfreeze") != true || view.json["unfreeze_blocked_reason"] != "" {
			w.t.Errorf("%s", view.raw)
		}
		w.want(w.post(at+"/account/unfreeze", "front", "a", seen), 200, "")
		if _, has := f[w.rosa]; !has || w.count(`SELECT COUNT(*) FROM security_answers`) != 1 {
			w.t.Error("something older went")
		}
	})
}

func TestUnfreezingAColleagueIsNoEasierWayEither(t *testing.T) {
	each(t, func(w *world) {
		f := w.protects(w.front)
		at := "/staff/" + w.member(w.front, w.oak).String()
		f[w.front] = w.db.Now(w.t.Context())
		w.noticed(w.staffs, w.front)
		if view := w.get(at, "boss"); fmt.Sprint(view.json["unfreezing_removes"]) != "[]" {
			w.t.Errorf("not frozen: %s", view.raw)
		}
		w.frozen(w.staffs, w.front)
		for _, view := range []reply{w.want(w.get(at, "boss"), 200, ""), w.want(w.get("/staff", "boss"), 200, "")} {
			if !strings.Contains(view.raw, `"unfreezing_removes":["password","second_factors"]`) {
				w.t.Errorf("%s", view.raw)
			}
		}
		w.exec(`UPDATE accounts SET email_changed_at = $2 WHERE id = $1`, w.front, w.db.Now(w.t.Context()).Add(-time.Hour))
		if r := w.want(w.post(at+"/unfreeze", "boss", "a", seen), 409, "email_changed_recently"); !strings.Contains(r.json["detail"].(string), "takes away second factors") {
			w.t.Errorf("%s", r.raw)
		}
		if _, has := f[w.front]; !has {
			w.t.Fatal("refused, and done all the same")
		}
		dbtest.Advance(w.db, 7*24*time.Hour)
		w.fresh("boss")
		if r := w.want(w.post(at+"/unfreeze", "boss", "b", seen), 200, ""); fmt.Sprint(r.json["unfreezing_removes"]) != "[]" {
			w.t.Errorf("%s", r.raw)
		}
		if _, has := f[w.front]; has {
			w.t.Error("it was said to go")
		}
	})
}

// An administrator of another practice invites a colleague's address and waits
// for the freeze.
func TestAnotherPracticeDoesNotUnfreezeAColleague(t *testing.T) {
	each(t, func(w *world) {
		at := "/staff/" + w.want(w.post("/staff", "elmboss", "a", staffInvitation("front@staff.example.test", "viewer")), 201, "").json["id"].(string)
		dbtest.Advance(w.db, time.Minute)
		w.exec(`UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, w.front, w.db.Now(w.t.Context()))
		w.frozen(w.staffs, w.front)
		w.want(w.post(at+"/unfreeze", "elmboss", "b", seen), 409, "recently_attached")
		if w.events("account.unfrozen") != 0 {
			w.t.Fatal("refused, and done all the same")
		}
		// Their own practice goes on helping them, and the other one hears of it.
		w.want(w.post("/staff/"+w.member(w.front, w.oak).String()+"/unfreeze", "boss", "c", seen), 200, "")
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'staff.unfrozen_elsewhere' AND severity = 'high' AND practice_id = $1 AND target = $2`,
			w.elm.ID.String(), audit.Account(w.front)) != 1 {
			w.t.Error("the other practice does not hear of it")
		}
		// A role that an import gave settles it.
		w.must(w.people.SetRoles(w.t.Context(), w.front, w.elm.ID, practice.Viewer))
		w.frozen(w.staffs, w.front)
		w.want(w.post(at+"/unfreeze", "elmboss", "d", seen), 200, "")
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'staff.unfrozen_elsewhere' AND practice_id = $1`, w.oak.ID.String()) != 1 {
			w.t.Error("their own practice does not hear of it")
		}
	})
}

// What another practice gave to an address lapses with it, whoever changes it: here
// the guardian, with the link.
func TestWhatWasGivenToAnAddressLapsesHoweverItIsReplaced(t *testing.T) {
	each(t, func(w *world) {
		theirs := w.want(w.post("/patients/"+w.zoe.String()+"/associations", "elm", "i", invitation("rosa@example.test")), 201, "").json["id"].(string)
		told := func(site uuid.UUID) int {
			return w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'association.lapsed' AND severity = 'high' AND practice_id = $1 AND actor = $2 AND target = $2 AND details LIKE $3`,
				site.String(), audit.Account(w.rosa), "%"+theirs+"%")
		}
		a, err := w.accounts.Find(w.t.Context(), "patient", w.rosa)
		w.must(err)
		_, err = w.accounts.ChangeEmail(w.t.Context(), w.patients, w.rosa, a.Version, "rosa.own@example.test", account.By{Actor: a.Actor()})
		w.must(err)
		if view := w.want(w.get("/associations/"+theirs, "elm"), 200, ""); view.json["portal_access"] != false || told(w.elm.ID) != 1 || told(w.oak.ID) != 0 {
			w.t.Errorf("%d events: %s", told(w.elm.ID), view.raw)
		}
		if view := w.want(w.get("/associations/"+w.miaRosa.String(), "front"), 200, ""); view.json["portal_access"] != true {
			w.t.Errorf("what an import gave: %s", view.raw)
		}
	})
}
