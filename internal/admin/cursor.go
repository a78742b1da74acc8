package admin

import (
	"encoding/base64"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/practice"
)

// Cursors are sealed (AES-256-GCM): they hold a patient's name, which must not
// show in logs of addresses, and nobody may make one up. The additional data
// binds a cursor to the person and the search it was made for.

const cursorPurpose = "admin cursor"

var cursorText = base64.RawURLEncoding.Strict()

func cursorFor(who caller, q practice.Query) string {
	bound, err := json.Marshal([]string{who.AccountID.String(), string(q.By), q.Q, string(q.Access)})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(bound)
}

func (a *API) sealCursor(who caller, q practice.Query, p practice.Position) string {
	plain := append(p.ID[:], p.SortKey...)
	return cursorText.EncodeToString(a.d.Sealer.Seal(cursorPurpose, cursorFor(who, q), plain))
}

func (a *API) openCursor(who caller, q practice.Query, cursor string) (practice.Position, error) {
	if cursor == "" {
		return practice.Position{}, nil
	}
	sealed, err := cursorText.DecodeString(cursor)
	if err != nil {
		return practice.Position{}, newProblem("invalid_cursor", "")
	}
	plain, err := a.d.Sealer.Open(cursorPurpose, cursorFor(who, q), sealed)
	if err != nil || len(plain) < len(uuid.UUID{}) {
		return practice.Position{}, newProblem("invalid_cursor", "")
	}
	return practice.Position{ID: uuid.UUID(plain[:16]), SortKey: string(plain[16:])}, nil
}
