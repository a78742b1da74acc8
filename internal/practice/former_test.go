package practice

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/migrations"
)

// What was changed before there was a table of former addresses is in it too: the
// migration reads it from the trail.
func TestFormerAddressesComeFromTheTrail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		name := "sqlite/0022_former.sql"
		if db.Engine() == database.Postgres {
			name = "postgres/0022_former.sql"
		}
		file, err := migrations.FS.ReadFile(name)
		w.must(err)
		text := string(file)
		begin := strings.Index(text, "WITH changes")
		fill := text[begin : begin+strings.Index(text[begin:], ";")]
		for _, e := range []audit.Event{
			{Realm: "practice", Kind: "email.changed", Target: audit.Account(w.admin), Details: map[string]any{"from": "a@oak.example.test", "to": "b@oak.example.test"}},
			{Realm: "practice", Kind: "email.changed", Target: audit.Account(w.admin), Details: map[string]any{"from": "b@oak.example.test", "to": "a@oak.example.test"}},
			{Realm: "practice", Kind: "email.changed", Target: audit.Account(w.admin), Details: map[string]any{"from": "a@oak.example.test", "to": "c@oak.example.test"}},
			{Realm: "patient", Kind: "email.changed", Target: audit.Account(w.admin), Details: map[string]any{"from": "other@realm.example.test"}},
			{Realm: "practice", Kind: "email.change_requested", Target: audit.Account(w.admin), Details: map[string]any{"from": "x@oak.example.test"}},
			{Realm: "practice", Kind: "email.changed", Target: "client:spa", Details: map[string]any{"from": "y@oak.example.test"}},
			{Realm: "practice", Kind: "email.changed", Target: audit.Account(w.admin)},
		} {
			e.Actor = "system"
			w.must(w.s.audit.Record(ctx, e))
		}
		_, err = db.Exec(ctx, fill)
		w.must(err)
		rows, err := db.Query(ctx, `SELECT email FROM former_emails WHERE account_id = $1 ORDER BY email`, w.admin)
		got, err := database.Collect(rows, err, func(r *database.Rows) (s string, err error) { return s, r.Scan(&s) })
		if err != nil || fmt.Sprint(got) != "[a@oak.example.test b@oak.example.test]" {
			t.Errorf("%v %v", got, err)
		}
		var n int64
		if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM former_emails`).Scan(&n); err != nil || n != 2 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}
