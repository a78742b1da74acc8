package admin

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
)

// What somebody asked for whose account was frozen since may have been a thief's.
func TestWhoHasSaidThisWasntMeAsksForNothing(t *testing.T) {
	each(t, func(w *world) {
		sent := w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "")
		at := "/password-resets/" + sent.json["id"].(string)
		w.want(w.post(at+"/answer-waiver", "boss", "a", seen), 200, "")
		w.must(w.accounts.Freeze(w.t.Context(), w.staffs, w.boss, account.By{Actor: "anonymous"}))
		w.want(w.post(at+"/answer-waiver/approval", "boss2", "b", ""), 409, "waiver_state")
		// Nor does such an account count as the administrator that a practice keeps.
		m, err := w.people.MemberOf(w.t.Context(), w.boss2, w.boss2, w.oak.ID)
		w.must(err)
		if err := w.people.ChangeRoles(w.t.Context(), practice.Who{Actor: "account:test"}, m, m.Version); !errors.Is(err, practice.ErrLastAdministrator) {
			w.t.Errorf("a frozen administrator is left: %v", err)
		}
		w.want(w.get("/patients", "boss"), 403, "no_role")
	})
}

// An account can be frozen before it was ever active: a notice about its address
// goes out earlier.
func TestAFrozenInvitationOpensNothingAndSaysNothing(t *testing.T) {
	each(t, func(w *world) {
		at := "/associations/" + w.miaInvited.String()
		w.must(w.accounts.Freeze(w.t.Context(), w.patients, w.invited, account.By{Actor: "anonymous"}))
		if view := w.want(w.get(at, "front"), 200, ""); dig(view.json, "can", "send_invitation") != false || dig(view.json, "can", "unfreeze") != true {
			w.t.Errorf("%s", view.raw)
		}
		w.want(w.post(at+"/invitation", "front", "a", ""), 409, "account_frozen")
		// Inviting the address is answered like any other.
		sibling := w.patient(w.oak, "AC-7", "Nico", "Cruz")
		w.want(w.post("/patients/"+sibling.String()+"/associations", "front", "b", invitation("ina@example.test")), 201, "")
		// The address is put right first; the invitation follows the unfreezing.
		view := w.get(at, "front")
		w.want(w.patch(w.miaInvited, "front", view.header.Get("ETag"), "ina.right@example.test"), 200, "")
		if w.lettersTo("invite", "ina.right@example.test") != 0 {
			w.t.Error("a frozen account was invited")
		}
		w.want(w.post(at+"/account/unfreeze", "front", "c", seen), 403, "second_person")
		w.want(w.post(at+"/account/unfreeze", "boss", "c", seen), 200, "")
		w.want(w.post(at+"/invitation", "front", "d", ""), 202, "")
		if w.lettersTo("invite", "ina.right@example.test") != 1 {
			w.t.Error("no invitation after the unfreezing")
		}
		staff := w.want(w.post("/staff", "boss", "e", staffInvitation("stan@staff.example.test", "viewer")), 201, "")
		w.exec(`UPDATE accounts SET frozen_at = created_at WHERE login_email = 'stan@staff.example.test'`)
		dbtest.Advance(w.db, 6*time.Minute)
		w.fresh("boss")
		w.want(w.post("/staff/"+staff.json["id"].(string)+"/invitation", "boss", "f", ""), 409, "account_frozen")
	})
}

// One practice reads that a guardian is its own alone, and meanwhile another one
// adds the guardian: the second look decides.
func TestAGuardianWhoBecomesSharedThisMomentDecides(t *testing.T) {
	each(t, func(w *world) {
		held, added := make(chan struct{}), make(chan error, 1)
		go func() {
			added <- w.db.InTx(w.t.Context(), func(ctx context.Context) error {
				defer func() { // on every path, so that nobody waits for it
					select {
					case <-held:
					default:
						close(held)
					}
				}()
				if _, err := w.accounts.Lock(ctx, w.patients.Name, w.rosa); err != nil {
					return err
				}
				_, err := w.people.Invite(ctx, w.elmFront, practice.Association{ID: uuid.Nil, PatientID: w.zoe, AccountID: w.rosa,
					Relationship: "mother", Authority: "full"}, nil)
				close(held)
				time.Sleep(200 * time.Millisecond)
				return err
			})
		}()
		<-held
		r := w.patch(w.miaRosa, "front", `"1"`, "mallory@example.test")
		w.must(<-added)
		w.want(r, 202, "")
	})
}
