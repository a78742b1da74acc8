package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func dig(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

func TestAnAssociationSaysWhatStaffMayDoAndWhyNot(t *testing.T) {
	each(t, func(w *world) {
		own := w.account("patient", "front@staff.example.test", "Front Herself", "active")
		mine := w.tieTo(w.mia, own)
		for _, c := range []struct {
			name          string
			id            uuid.UUID
			token         string
			change, reset string
		}{
			{"a guardian", w.miaRosa, "front", "", ""},
			{"seen by a viewer", w.miaRosa, "viewer", "permission", "permission"},
			{"invited", w.miaInvited, "front", "", "account_invited"},
			{"disabled", w.miaOff, "front", "account_disabled", "account_disabled"},
			{"ended", w.miaEnded, "front", "association_ended", "association_ended"},
			{"without portal access", w.miaBarred, "front", "no_portal_access", "no_portal_access"},
			{"own", mine, "front", "own_account", "own_account"},
		} {
			r := w.want(w.get("/associations/"+c.id.String(), c.token), 200, "")
			if got := fmt.Sprint(r.json["change_blocked_code"], "|", r.json["reset_blocked_code"]); got != c.change+"|"+c.reset {
				w.t.Errorf("%s: blocked %q", c.name, got)
			}
			for what, code := range map[string]string{"change_login_email": c.change, "reset_password": c.reset} {
				if dig(r.json["can"], what) != (code == "") {
					w.t.Errorf("%s: can %s is %v", c.name, what, dig(r.json["can"], what))
				}
			}
			if (r.json["reset_blocked_reason"] == "") != (c.reset == "") || (r.json["change_blocked_reason"] == "") != (c.change == "") {
				w.t.Errorf("%s: %s", c.name, r.raw)
			}
			// What is said is what happens.
			email := dig(r.json["guardian"], "login_email").(string)
			done := w.reset(c.id, c.token, uuid.NewString(), email)
			if c.reset == "" && done.status != 202 || c.reset != "" && done.code() != c.reset {
				w.t.Errorf("%s: reset answered %d %s", c.name, done.status, done.code())
			}
			done = w.patch(c.id, c.token, r.header.Get("ETag"), "x"+email)
			if c.change == "" && done.status != 200 || c.change != "" && done.code() != c.change {
				w.t.Errorf("%s: change answered %d %s", c.name, done.status, done.code())
			}
		}
	})
}

func TestAChangedLoginEmailEndsWhatTheOldOneOpened(t *testing.T) {
	each(t, func(w *world) {
		w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "")
		before := w.get("/associations/"+w.miaRosa.String(), "front")
		if before.header.Get("ETag") != `"1"` || before.json["version"] != 1.0 || dig(before.json["latest_reset"], "state") != "requested" {
			w.t.Errorf("before: %s", before.raw)
		}
		r := w.want(w.patch(w.miaRosa, "front", before.header.Get("ETag"), " Rosa.New@EXAMPLE.test "), 200, "")
		a := r.json["association"]
		if dig(a, "guardian", "login_email") != "rosa.new@example.test" || dig(a, "guardian", "email_verified") != false ||
			!strings.Contains(r.json["reminder"].(string), "family contact list") {
			w.t.Errorf("answer: %s", r.raw)
		}
		after := w.get("/associations/"+w.miaRosa.String(), "front")
		if after.header.Get("ETag") == `"1"` || after.header.Get("ETag") != r.header.Get("ETag") {
			w.t.Errorf("ETag %s, %s", after.header.Get("ETag"), r.header.Get("ETag"))
		}
		if dig(after.json["latest_reset"], "state") != "replaced" {
			w.t.Errorf("the old link: %v", after.json["latest_reset"])
		}
		if w.lettersTo("email_changed", "rosa@example.test") != 1 || w.lettersTo("email_changed_new", "rosa.new@example.test") != 1 {
			w.t.Error("the two addresses were not told")
		}
		if w.events("email.changed") != 1 || w.events("admin.email_changed") != 1 {
			w.t.Error("the change was not recorded")
		}
		if fmt.Sprint(names(w.get("/patients?by=account&q=rosa.new", "front")), names(w.get("/patients?by=account&q=rosa@", "front"))) != "[Mía Cruz] []" {
			w.t.Error("the search does not follow the change")
		}
	})
}

func TestAChangeNeedsTheVersionThatWasSeen(t *testing.T) {
	each(t, func(w *world) {
		for _, c := range []struct {
			tag    string
			status int
			code   string
		}{
			{"", 428, "if_match_missing"}, {"*", 428, "if_match_missing"}, {"1", 400, "if_match"}, {`"1`, 400, "if_match"},
			{`"2"`, 412, "version"}, {`W/"1"`, 412, "version"}, {`"x"`, 412, "version"}, {`"7", "8"`, 412, "version"},
		} {
			w.want(w.patch(w.miaRosa, "front", c.tag, "new@example.test"), c.status, c.code)
		}
		w.want(w.patch(w.miaRosa, "front", `"7", "1"`, "new@example.test"), 200, "")
		w.want(w.patch(w.miaRosa, "front", `"1"`, "newer@example.test"), 412, "version")
		if w.events("email.changed") != 1 {
			w.t.Errorf("%d changes", w.events("email.changed"))
		}
	})
}

func TestChangesThatAreRefusedChangeNothing(t *testing.T) {
	each(t, func(w *world) {
		for _, bad := range []string{"", "x", "a@b", "a@@example.test", `"a"@example.test`, "a@example.test\u212a", "a b@example.test"} {
			w.want(w.patch(w.miaRosa, "front", `"1"`, bad), 422, "invalid")
		}
		r := w.want(w.patch(w.miaRosa, "front", `"1"`, "TINA@example.test"), 409, "email_taken")
		if strings.Contains(r.raw, "Tina") || strings.Contains(r.raw, "Elm") {
			w.t.Errorf("the answer tells whose: %s", r.raw)
		}
		// Only the realm counts: staff may have the same address elsewhere.
		w.want(w.patch(w.miaRosa, "front", `"1"`, "front@staff.example.test"), 403, "own_account")
		// The same address again is no change, for nobody.
		w.want(w.patch(w.miaRosa, "front", `"1"`, "ROSA@example.test"), 200, "")
		w.want(w.patch(w.miaShared, "front", `"1"`, "sam@example.test"), 200, "")
		if w.events("email.changed") != 0 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 0 || w.count(`SELECT COUNT(*) FROM accounts WHERE version <> 1`) != 0 {
			w.t.Error("something was changed")
		}
	})
}

func TestAnInvitedGuardianIsInvitedAgainAtTheNewAddress(t *testing.T) {
	each(t, func(w *world) {
		w.want(w.patch(w.miaInvited, "front", `"1"`, "ina.new@example.test"), 200, "")
		// The old address is told too: it may be somebody's by now.
		if w.lettersTo("email_changed", "ina@example.test") != 1 {
			w.t.Error("the old address was not told")
		}
		if w.lettersTo("invite", "ina.new@example.test") != 1 || w.count(`SELECT COUNT(*) FROM invitations WHERE voided_at IS NULL`) != 1 {
			w.t.Error("no invitation at the new address")
		}
	})
}
