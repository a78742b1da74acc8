package admin

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestALinkGoesToTheConfirmedAddressOnly(t *testing.T) {
	each(t, func(w *world) {
		for _, wrong := range []string{"rosa@example.tes", "sam@example.test", "", "nonsense", "rosa@example.test, mallory@example.test"} {
			w.want(w.reset(w.miaRosa, "front", uuid.NewString(), wrong), 409, "mismatch")
		}
		if w.tickets() != 0 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 0 || w.count(`SELECT COUNT(*) FROM idempotency_keys`) != 0 {
			w.t.Error("a refusal left something behind")
		}
		r := w.want(w.reset(w.miaRosa, "front", "k", " ROSA@Example.test"), 202, "")
		if r.json["state"] != "requested" || r.json["login_email"] != "rosa@example.test" || len(r.json["events"].([]any)) == 0 ||
			r.header.Get("Location") != Path+"/password-resets/"+r.json["id"].(string) {
			w.t.Errorf("answer %s", r.raw)
		}
		if w.tickets() != 1 || w.lettersTo("reset_staff", "rosa@example.test") != 1 || w.events("admin.reset_sent") != 1 {
			w.t.Error("one link and one letter are expected")
		}
		if w.events("admin.refused") != 5 || w.events("admin.reset_after_email_change") != 0 {
			w.t.Errorf("%d refusals, %d alarms", w.events("admin.refused"), w.events("admin.reset_after_email_change"))
		}
	})
}

func TestAReasonIsRequired(t *testing.T) {
	each(t, func(w *world) {
		for _, body := range []string{
			`{"confirm_login_email":"rosa@example.test"}`,
			`{"confirm_login_email":"rosa@example.test","reason":""}`,
			`{"confirm_login_email":"rosa@example.test","reason":" \n "}`,
			`{"reason":"x"}`,
			`{"confirm_login_email":"rosa@example.test","reason":"` + strings.Repeat("x", 501) + `"}`,
		} {
			w.want(w.do(call{method: "POST", path: path("/associations/%s/password-resets", w.miaRosa), token: "front", body: body,
				header: map[string]string{"Idempotency-Key": "k"}}), 422, "invalid")
		}
		if w.tickets() != 0 {
			w.t.Error("a link was sent")
		}
	})
}

func TestChangeThenResetRaisesAnAlarm(t *testing.T) {
	each(t, func(w *world) {
		w.want(w.patch(w.miaRosa, "front", `"1"`, "rosa.new@example.test"), 200, "")
		w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 409, "mismatch")
		w.want(w.reset(w.miaRosa, "front", "k", "rosa.new@example.test"), 202, "")
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.reset_after_email_change' AND severity = 'high'
			AND target = $1 AND actor = $2`, "account:"+w.rosa.String(), "account:"+w.front.String()); n != 1 {
			w.t.Errorf("%d alarms", n)
		}
	})
}

func TestRepeatingARequestRepeatsItsAnswer(t *testing.T) {
	each(t, func(w *world) {
		first := w.want(w.reset(w.miaRosa, "front", "key-1", "rosa@example.test"), 202, "")
		again := w.want(w.reset(w.miaRosa, "front", "key-1", "rosa@example.test"), 202, "")
		if first.raw != again.raw || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" ||
			first.header.Get("Location") != again.header.Get("Location") {
			w.t.Errorf("first %s %v\nagain %s %v", first.raw, first.header, again.raw, again.header)
		}
		// Spaces and order of the JSON do not make another request.
		w.want(w.do(call{method: "POST", path: path("/associations/%s/password-resets", w.miaRosa), token: "front",
			body: "{ \"reason\" : \"forgot it\",\n\"confirm_login_email\":\"rosa@example.test\"}", header: map[string]string{"Idempotency-Key": "key-1"}}), 202, "")
		w.want(w.reset(w.miaRosa, "front", "key-1", "other@example.test"), 422, "key_reused")
		w.want(w.reset(w.miaShared, "front", "key-1", "rosa@example.test"), 422, "key_reused")
		if w.tickets() != 1 {
			w.t.Fatalf("%d tickets", w.tickets())
		}
		// Another person's key of the same name is another key.
		w.staff("front2", w.oak, "administrator")
		w.want(w.reset(w.miaRosa, "front2", "key-1", "rosa@example.test"), 202, "")
		if w.tickets() != 2 {
			w.t.Errorf("%d tickets", w.tickets())
		}
		// After a day the key is free, and the cleaner forgets it.
		dbtest.Advance(w.db, 24*time.Hour+time.Minute)
		c := w.tokens.claims["front"]
		c.AuthTime = w.db.Now(w.t.Context())
		w.tokens.set("front", c)
		third := w.want(w.reset(w.miaRosa, "front", "key-1", "rosa@example.test"), 202, "")
		if third.raw == first.raw || w.tickets() != 3 {
			w.t.Errorf("after a day: %s, %d tickets", third.raw, w.tickets())
		}
		w.must(w.api.CleanUp(w.t.Context()))
		if n := w.count(`SELECT COUNT(*) FROM idempotency_keys`); n != 1 {
			w.t.Errorf("%d keys after cleaning", n)
		}
	})
}

func TestARefusalLeavesTheKeyFree(t *testing.T) {
	each(t, func(w *world) {
		w.want(w.reset(w.miaRosa, "front", "k", "wrong@example.test"), 409, "mismatch")
		w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "")
		for _, key := range []string{"", strings.Repeat("x", 256), "a b"} {
			w.want(w.reset(w.miaRosa, "front", key, "rosa@example.test"), 400, "idempotency_key")
		}
	})
}

func TestFiftyAtOnceSendOneLink(t *testing.T) {
	each(t, func(w *world) {
		replies := make([]reply, 50)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range replies {
			wg.Go(func() {
				<-start
				replies[i] = w.reset(w.miaRosa, "front", "one", "rosa@example.test")
			})
		}
		close(start)
		wg.Wait()
		fresh := 0
		for _, r := range replies {
			if r.status != 202 || r.raw != replies[0].raw {
				w.t.Errorf("%d %s", r.status, r.raw)
			}
			if r.header.Get("Idempotency-Replayed") == "" {
				fresh++
			}
		}
		if fresh != 1 || w.tickets() != 1 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 1 || w.events("admin.reset_sent") != 1 {
			w.t.Errorf("%d fresh answers, %d tickets", fresh, w.tickets())
		}
	})
}

func TestAChangeAndAResetAtOnceNeverSendToTheOldAddress(t *testing.T) {
	each(t, func(w *world) {
		for i := range 12 {
			id := w.tieTo(w.mia, w.account("patient", fmt.Sprintf("g%d@example.test", i), "Gail Race", "active"))
			old, next := fmt.Sprintf("g%d@example.test", i), fmt.Sprintf("h%d@example.test", i)
			var wg sync.WaitGroup
			wg.Go(func() { w.want(w.patch(id, "front", `"1"`, next), 200, "") })
			wg.Go(func() {
				if r := w.reset(id, "front", uuid.NewString(), old); r.status != 202 && r.status != 409 {
					w.t.Errorf("reset: %d %s", r.status, r.raw)
				}
			})
			wg.Wait()
		}
		if n := w.count(`SELECT COUNT(*) FROM recovery_tickets t JOIN accounts a ON a.id = t.account_id
			WHERE t.voided_at IS NULL AND t.email <> a.login_email`); n != 0 {
			w.t.Errorf("%d live links went to an address that is not on file", n)
		}
	})
}

func TestLinksAreFollowedAndCancelled(t *testing.T) {
	each(t, func(w *world) {
		sent := w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "")
		at := "/password-resets/" + sent.json["id"].(string)
		w.want(w.get(at, "viewer"), 200, "")
		w.want(w.get(at, "elm"), 404, "not_found")
		w.want(w.get(at, "nobody"), 403, "no_role")
		w.want(w.do(call{method: "DELETE", path: Path + at, token: "viewer"}), 403, "permission")
		w.want(w.do(call{method: "DELETE", path: Path + at, token: "elm"}), 404, "not_found")
		for range 2 {
			r := w.want(w.do(call{method: "DELETE", path: Path + at, token: "front"}), 200, "")
			if r.json["state"] != "cancelled" {
				w.t.Errorf("cancelled: %s", r.raw)
			}
		}
		if w.lettersTo("reset_staff", "rosa@example.test") != 0 {
			w.t.Error("the letter is still to be sent")
		}
		sent = w.reset(w.miaRosa, "front", "k2", "rosa@example.test")
		_, err := w.db.Exec(w.t.Context(), `UPDATE recovery_tickets SET used_at = created_at WHERE voided_at IS NULL`)
		w.must(err)
		w.want(w.do(call{method: "DELETE", path: Path + "/password-resets/" + sent.json["id"].(string), token: "front"}), 409, "reset_finished")
	})
}

func TestALinkOfAnotherPracticeIsNotShown(t *testing.T) {
	each(t, func(w *world) {
		theirs := w.want(w.reset(w.zoeShared, "elm", "k", "sam@example.test"), 202, "")
		w.want(w.get("/password-resets/"+theirs.json["id"].(string), "front"), 404, "not_found")
		ours := w.want(w.get("/associations/"+w.miaShared.String(), "front"), 200, "")
		if ours.json["latest_reset"] != nil {
			w.t.Errorf("our association shows their link: %v", ours.json["latest_reset"])
		}
		// A link the guardian asked for is nobody's to follow.
		self := uuid.New()
		_, err := w.db.Exec(w.t.Context(), `
			INSERT INTO recovery_tickets (id, realm, account_id, token_hash, origin, email, credential_version, created_at, expires_at)
			SELECT $1, realm, account_id, $2, 'self_service', email, 1, created_at, expires_at FROM recovery_tickets`, self, []byte("x"))
		w.must(err)
		w.want(w.get("/password-resets/"+self.String(), "elm"), 404, "not_found")
	})
}

func TestNobodyHelpsThemselves(t *testing.T) {
	each(t, func(w *world) {
		linked := w.account("patient", "private@example.test", "Front Privately", "active")
		id := w.tieTo(w.mia, linked)
		w.must(w.people.LinkPerson(w.t.Context(), w.front, linked))
		w.want(w.reset(id, "front", "k", "private@example.test"), 403, "own_account")
		w.want(w.patch(id, "front", `"1"`, "else@example.test"), 403, "own_account")
		w.staff("colleague", w.oak, "front_desk")
		sent := w.want(w.reset(id, "colleague", "k", "private@example.test"), 202, "")
		w.want(w.do(call{method: "DELETE", path: path("/password-resets/%s", sent.json["id"]), token: "front"}), 403, "own_account")
		w.want(w.get("/associations/"+id.String(), "front"), 200, "")
	})
}

func TestWithoutTheTrailNothingHappens(t *testing.T) {
	each(t, func(w *world) {
		sent := w.reset(w.miaShared, "front", "k0", "sam@example.test")
		_, err := w.db.Exec(w.t.Context(), `ALTER TABLE audit_unchained RENAME TO away`)
		w.must(err)
		w.factors.has[w.rosa] = account.FactorSummary{TOTP: true}
		before := w.count(`SELECT COUNT(*) FROM accounts`)
		for _, op := range operations(w.mia, w.miaRosa, uuid.MustParse(sent.json["id"].(string)), w.member(w.viewer, w.oak)) {
			op.token = "boss"
			switch {
			case strings.HasSuffix(op.path, "/me"):
				continue
			case strings.HasSuffix(op.path, "/approval"), strings.HasSuffix(op.path, "/invitation"),
				strings.HasSuffix(op.path, "/login-email-change"), strings.HasSuffix(op.path, "/unfreeze"):
				if r := w.do(op); r.status != 409 {
					w.t.Errorf("%s %s: %d %s", op.method, op.path, r.status, r.raw)
				}
				continue
			case strings.HasSuffix(op.path, "/answer-waiver"): // recovery records it
				continue
			}
			w.want(w.do(op), 500, "internal")
		}
		if w.count(`SELECT COUNT(*) FROM accounts`) != before || w.count(`SELECT COUNT(*) FROM staff_roles WHERE account_id = $1`, w.viewer) != 2 {
			w.t.Error("people were changed without a record")
		}
		if w.tickets() != 1 || w.count(`SELECT COUNT(*) FROM accounts WHERE version <> 1`) != 0 || w.count(`SELECT COUNT(*) FROM idempotency_keys`) != 1 {
			w.t.Error("something was done without a record")
		}
	})
}

func TestNoAnswerAndNoLogHoldsALink(t *testing.T) {
	each(t, func(w *world) {
		sent := w.reset(w.miaRosa, "front", "k", "rosa@example.test")
		w.want(sent, 202, "")
		all := sent.raw + w.get("/associations/"+w.miaRosa.String(), "front").raw + w.get("/password-resets/"+sent.json["id"].(string), "front").raw + w.log.String()
		for _, word := range []string{"/reset/", "token", "hash", "question", "answer\""} {
			if strings.Contains(all, word) {
				w.t.Errorf("%q shows", word)
			}
		}
	})
}
