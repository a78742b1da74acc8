package account_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// factorsOf are the second factors of accounts.
type factorsOf map[uuid.UUID]account.FactorSummary

func (s factorsOf) Of(_ context.Context, id uuid.UUID) (account.FactorSummary, error) {
	return s[id], nil
}

func (s factorsOf) AddedSince(_ context.Context, id uuid.UUID, _ time.Time) (bool, error) {
	_, has := s[id]
	return has, nil
}

func (s factorsOf) RemoveSince(_ context.Context, _ *realm.Realm, id uuid.UUID, _ time.Time, _ account.By) (bool, error) {
	_, has := s[id]
	delete(s, id)
	return has, nil
}

// A session from before there was a second factor, and the password, are what
// a thief may have of somebody who has protected the account since.
func TestAPasswordAloneChangesNothingWhereThereIsASecondFactor(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, thief := signedIn(w)
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Factors: factorsOf{a.ID: {TOTP: true}}})
		forms := map[string]url.Values{
			"/account/email":    {"new-email": {"thief@example.test"}},
			"/account/question": {"question": {"first_concert"}, "answer": {"los tigres"}},
			"/account/password": {"current-password": {accounttest.Password}, "new-password": {accounttest.NewPassword}, "confirm-password": {accounttest.NewPassword}},
		}
		for path, form := range forms {
			second := "/patient/signin/second?return_to=" + url.QueryEscape(path)
			if p := thief.Get(path); p.Status != http.StatusSeeOther || p.Location() != second {
				t.Errorf("GET %s: %d %s", path, p.Status, p.Location())
			}
			thief.Get("/account")
			if p := thief.Post(path, form); p.Status != http.StatusSeeOther || p.Location() != second {
				t.Errorf("POST %s: %d %s", path, p.Status, p.Location())
			}
		}
		if after := find(t, w, a.ID); after.CredentialVersion != a.CredentialVersion || w.Count(`SELECT COUNT(*) FROM email_changes`) != 0 ||
			w.Count(`SELECT COUNT(*) FROM mail_outbox`) != 0 {
			t.Error("something changed")
		}
		// With both it is as ever.
		_, token, err := w.Sessions.Start(ctx, w.Realm, a.ID, session.Device{}, session.Method{ACR: session.TwoFactors, AMR: []string{"pwd", "otp", "mfa"}})
		if err != nil {
			t.Fatal(err)
		}
		thief.SetCookie("", token.Reveal())
		for path := range forms {
			if p := thief.Get(path); p.Status != http.StatusOK {
				t.Errorf("%s with both: %d %s", path, p.Status, p.Location())
			}
		}
	})
}
