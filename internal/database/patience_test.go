package database_test

import (
	"context"
	"encoding/binary"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/migrations"
)

// A step over a large table may take longer than a request waits.
func TestAMigrationMayTakeItsTime(t *testing.T) {
	url := dbtest.PostgresURL(t)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	db, err := database.Open(t.Context(), url+separator+"statement_timeout=200", database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), `SELECT pg_sleep(0.6)`); err == nil {
		t.Fatal("the limit of the URL is none")
	}
	steps := fstest.MapFS{"postgres/9001_slow.sql": {Data: []byte("-- +goose Up\nSELECT pg_sleep(0.6);\n")}}
	files, err := fs.Glob(migrations.FS, "postgres/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		steps[name] = &fstest.MapFile{Data: text}
	}
	if applied, err := db.Migrate(t.Context(), steps); err != nil || len(applied) != 1 {
		t.Errorf("%v %v", applied, err)
	}
}

func TestStepsReachEveryRowAndCountThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		const rows = 2*database.StepRows + 17
		now := db.Now(t.Context())
		err := db.InTx(t.Context(), func(ctx context.Context) error {
			for i := range rows {
				key := binary.BigEndian.AppendUint32(nil, uint32(i))
				if _, err := db.Exec(ctx, `INSERT INTO spent_challenges (challenge_hash, expires_at) VALUES ($1, $2)`, key, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		n, err := db.CountInSteps(t.Context(), `
			UPDATE spent_challenges SET expires_at = $2 WHERE challenge_hash IN (
				SELECT challenge_hash FROM spent_challenges WHERE expires_at <= $1 LIMIT 1000)`, now, now.Add(time.Hour))
		if err != nil || n != rows {
			t.Errorf("%d of %d, %v", n, rows, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.CountInSteps(ctx, `DELETE FROM spent_challenges WHERE challenge_hash IN (SELECT challenge_hash FROM spent_challenges LIMIT 1000)`); err == nil {
			t.Error("goes on for somebody who has gone")
		}
	})
}
