package server_test

import "testing"

func TestEveryKeyThatIsMadeIsOnRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var keys, events int
		ctx := t.Context()
		if err := w.srv.DB().QueryRow(ctx, `SELECT count(*) FROM signing_keys`).Scan(&keys); err != nil {
			t.Fatal(err)
		}
		if err := w.srv.DB().QueryRow(ctx, `SELECT count(*) FROM audit_events WHERE kind = 'key.made'`).Scan(&events); err != nil {
			t.Fatal(err)
		}
		if keys == 0 || events < keys {
			t.Errorf("%d keys, %d events", keys, events)
		}
	})
}
