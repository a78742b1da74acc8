package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
)

// operations is one valid call of every operation, on things of a practice.
func operations(patient, association, reset, member uuid.UUID) []call {
	change := map[string]string{"If-Match": `"1"`}
	identity := `{"identity_check":"photo ID seen"}`
	key := map[string]string{"Idempotency-Key": "k1"}
	return []call{
		{method: "GET", path: path("/me")},
		{method: "GET", path: path("/patients")},
		{method: "GET", path: path("/patients/%s", patient)},
		{method: "GET", path: path("/associations/%s", association)},
		{method: "PATCH", path: path("/associations/%s/login-email", association), body: `{"login_email":"new@example.test","reason":"x"}`, header: change},
		{method: "POST", path: path("/associations/%s/password-resets", association), body: `{"confirm_login_email":"rosa@example.test","reason":"x"}`, header: key},
		{method: "GET", path: path("/password-resets/%s", reset)},
		{method: "DELETE", path: path("/password-resets/%s", reset)},
		{method: "POST", path: path("/password-resets/%s/answer-waiver", reset), body: identity, header: key},
		{method: "POST", path: path("/password-resets/%s/answer-waiver/approval", reset), header: key},
		{method: "POST", path: path("/patients/%s/associations", patient), body: invitation("ned@example.test"), header: key},
		{method: "POST", path: path("/associations/%s/invitation", association), header: key},
		{method: "DELETE", path: path("/associations/%s/invitation", association)},
		{method: "DELETE", path: path("/associations/%s/login-email-change", association)},
		{method: "POST", path: path("/associations/%s/account/unfreeze", association), body: identity, header: key},
		{method: "POST", path: path("/associations/%s/account/second-factor-removal", association), body: identity, header: key},
		{method: "GET", path: path("/staff")},
		{method: "POST", path: path("/staff"), body: staffInvitation("stan@staff.example.test", "viewer"), header: key},
		{method: "GET", path: path("/staff/%s", member)},
		{method: "PUT", path: path("/staff/%s/roles", member), body: `{"roles":["viewer"]}`, header: change},
		{method: "DELETE", path: path("/staff/%s", member), header: change},
		{method: "POST", path: path("/staff/%s/invitation", member), header: key},
		{method: "POST", path: path("/staff/%s/unfreeze", member), body: identity, header: key},
	}
}

func manages(c call) bool { return c.method != "GET" }

func TestOnlyAPersonsTokenWithTheScopeIsAccepted(t *testing.T) {
	each(t, func(w *world) {
		now := w.db.Now(w.t.Context())
		w.tokens.set("service", Claims{ClientID: "service", Scopes: []string{"admin.read", "admin.manage"}, AuthTime: now})
		w.tokens.set("read", Claims{AccountID: w.front, Scopes: []string{"openid", "admin.read"}, AuthTime: now})
		w.tokens.set("manage", Claims{AccountID: w.front, Scopes: []string{"admin.manage"}, AuthTime: now})
		w.tokens.set("none", Claims{AccountID: w.front, Scopes: []string{"openid", "admin", "admin.readx"}, AuthTime: now})
		w.tokens.set("guardian", Claims{AccountID: w.rosa, Scopes: []string{"admin.read", "admin.manage"}, AuthTime: now})
		before := w.tickets()
		for _, op := range operations(w.mia, w.miaRosa, uuid.New(), uuid.New()) {
			for _, c := range []struct {
				name, header string
				status       int
				code, says   string
			}{
				{"no token", "", 401, "token_missing", `Bearer realm="admin"`},
				{"another scheme", "Basic Zm9vOmJhcg==", 401, "token_invalid", `error="invalid_token"`},
				{"an empty token", "Bearer ", 401, "token_invalid", `error="invalid_token"`},
				{"an unknown token", "Bearer forged", 401, "token_invalid", `error="invalid_token"`},
				{"client credentials", "Bearer service", 401, "token_invalid", `error="invalid_token"`},
				{"no scope", "Bearer none", 403, "scope", `error="insufficient_scope"`},
			} {
				request := op
				request.header = map[string]string{"Authorization": c.header}
				if c.header == "" {
					request.header = nil
				}
				r := w.want(w.do(request), c.status, c.code)
				if got := r.header.Get("WWW-Authenticate"); !strings.Contains(got, c.says) {
					w.t.Errorf("%s %s with %s: WWW-Authenticate %q", op.method, op.path, c.name, got)
				}
			}
			// Each scope opens its own operations only.
			op.token = "manage"
			if manages(op) {
				op.token = "read"
			}
			w.want(w.do(op), 403, "scope")
			// A guardian is nobody here, whatever their token says.
			op.token = "guardian"
			if r := w.do(op); r.status != 403 && r.status != 401 {
				w.t.Errorf("%s %s as a guardian: %d %s", op.method, op.path, r.status, r.raw)
			}
		}
		if w.tickets() != before || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 0 {
			w.t.Error("something was sent")
		}
	})
}

func TestTwoTokensAreNone(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	r := w.get("/me?access_token=front", "")
	w.want(r, 401, "token_missing")
	w.want(w.get("/me?access_token=front", "front"), 422, "invalid")
	w.want(w.do(call{method: "GET", path: path("/me"), header: map[string]string{"Authorization": "bearer front"}}), 200, "")
}

func TestADatabaseThatIsAwayIsNoBadToken(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	w.tokens.err = fmt.Errorf("read grant: %w", database.ErrUnavailable)
	r := w.want(w.get("/me", "front"), 503, "unavailable")
	if r.header.Get("Retry-After") == "" || r.header.Get("WWW-Authenticate") != "" {
		t.Errorf("headers %v", r.header)
	}
}

func TestOtherPracticesThingsAreAsAbsentAsNothing(t *testing.T) {
	each(t, func(w *world) {
		elm := w.reset(w.zoeTina, "elm", "k", "tina@example.test")
		w.want(elm, 202, "")
		elmReset := uuid.MustParse(elm.json["id"].(string))
		theirs := operations(w.zoe, w.zoeTina, elmReset, w.member(w.elmFront, w.elm))
		absent := operations(uuid.New(), uuid.New(), uuid.New(), uuid.New())
		garbage := operations(uuid.Nil, uuid.Nil, uuid.Nil, uuid.Nil)
		letters := w.count(`SELECT COUNT(*) FROM mail_outbox`)
		for i := range theirs {
			if !strings.Contains(theirs[i].path, "-") {
				continue // /me and the list name nothing
			}
			theirs[i].token, absent[i].token, garbage[i].token = "boss", "boss", "boss"
			garbage[i].path = strings.ReplaceAll(garbage[i].path, uuid.Nil.String(), "' OR 1=1 --"[:1]+"x")
			a, b, c := w.want(w.do(theirs[i]), 404, "not_found"), w.do(absent[i]), w.do(garbage[i])
			if a.raw != b.raw || b.raw != c.raw {
				w.t.Errorf("%s %s can be told apart:\n%s\n%s\n%s", theirs[i].method, theirs[i].path, a.raw, b.raw, c.raw)
			}
		}
		if got := w.count(`SELECT COUNT(*) FROM mail_outbox`); got != letters {
			w.t.Errorf("%d letters, %d before", got, letters)
		}
		// An association of ours and a link of theirs do not mix either.
		w.want(w.get("/password-resets/"+elmReset.String(), "elm"), 200, "")
	})
}

func TestARoleTakenAwayCountsAtOnce(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		reset := w.want(w.reset(w.miaRosa, "front", "k1", "rosa@example.test"), 202, "")
		id := uuid.MustParse(reset.json["id"].(string))
		w.must(w.people.SetRoles(ctx, w.front, w.oak.ID, practice.Viewer))
		for _, op := range operations(w.mia, w.miaRosa, id, w.member(w.boss, w.oak)) {
			op.token = "front"
			if manages(op) || strings.Contains(op.path, "/staff") {
				w.want(w.do(op), 403, "permission")
			} else {
				w.want(w.do(op), 200, "")
			}
		}
		w.must(w.people.SetRoles(ctx, w.front, w.oak.ID))
		for _, op := range operations(w.mia, w.miaRosa, id, w.member(w.boss, w.oak)) {
			op.token = "front"
			if strings.HasSuffix(op.path, "/me") {
				if r := w.do(op); r.status != 200 || len(r.json["practices"].([]any)) != 0 {
					w.t.Errorf("me without a role: %d %s", r.status, r.raw)
				}
				continue
			}
			w.want(w.do(op), 403, "no_role")
		}
		// A role elsewhere opens nothing here.
		w.must(w.people.SetRoles(ctx, w.front, w.elm.ID, practice.Administrator))
		w.want(w.get("/associations/"+w.miaRosa.String(), "front"), 404, "not_found")
		if w.tickets() != 1 {
			w.t.Errorf("%d tickets", w.tickets())
		}
		if w.events("admin.refused") == 0 {
			w.t.Error("no refusal was recorded")
		}
	})
}

func TestActingNeedsARecentSignIn(t *testing.T) {
	each(t, func(w *world) {
		c := w.tokens.claims["front"]
		for _, age := range []time.Duration{10*time.Minute + time.Second, 11 * time.Hour} {
			c.AuthTime = w.db.Now(w.t.Context()).Add(-age)
			w.tokens.set("aged", c)
			for _, r := range []reply{
				w.reset(w.miaRosa, "aged", "k", "rosa@example.test"),
				w.patch(w.miaRosa, "aged", `"1"`, "new@example.test"),
			} {
				w.want(r, 401, "sign_in_again")
				got := r.header.Get("WWW-Authenticate")
				if !strings.Contains(got, `error="insufficient_user_authentication"`) || !strings.Contains(got, `max_age="600"`) {
					w.t.Errorf("WWW-Authenticate %q", got)
				}
			}
		}
		c.AuthTime = time.Time{}
		w.tokens.set("aged", c)
		w.want(w.reset(w.miaRosa, "aged", "k", "rosa@example.test"), 401, "sign_in_again")
		w.want(w.get("/associations/"+w.miaRosa.String(), "aged"), 200, "")
		if w.tickets() != 0 {
			w.t.Error("a link was sent")
		}
		c.AuthTime = w.db.Now(w.t.Context()).Add(-9 * time.Minute)
		w.tokens.set("aged", c)
		w.want(w.reset(w.miaRosa, "aged", "k", "rosa@example.test"), 202, "")
	})
}

func TestAskingTooOftenIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db, Limits{SearchesPerMinute: 3, ChangesPerHour: 2})
		for range 3 {
			w.want(w.get("/patients", "front"), 200, "")
		}
		if r := w.want(w.get("/patients", "front"), 429, "too_many"); r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		w.want(w.get("/patients", "viewer"), 200, "")
		w.want(w.reset(w.miaRosa, "front", "a", "rosa@example.test"), 202, "")
		w.want(w.reset(w.miaRosa, "front", "b", "wrong@example.test"), 409, "mismatch")
		w.want(w.reset(w.miaRosa, "front", "c", "rosa@example.test"), 429, "too_many")
	})
}
