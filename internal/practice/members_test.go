package practice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
)

func (w *town) count(query string, args ...any) int {
	w.t.Helper()
	var n int64
	w.must(w.db.QueryRow(w.t.Context(), query, args...).Scan(&n))
	return int(n)
}

func TestEveryChangeOfRolesIsInTheTrail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		events := func() int { return w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'roles.changed'`) }
		before := events()
		if before != 3 {
			t.Fatalf("%d events of the imports", before)
		}
		w.must(w.s.SetRoles(ctx, w.viewer, w.oak.ID, Viewer, Viewer))
		if events() != before {
			t.Error("what changes nothing is recorded")
		}
		m, err := w.s.MemberOf(ctx, w.admin, w.viewer, w.oak.ID)
		w.must(err)
		by := Who{Actor: "account:" + w.admin.String(), ClientID: "portal", IP: "192.0.2.1"}
		w.must(w.s.ChangeRoles(ctx, by, m, m.Version, Administrator))
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'roles.changed' AND severity = 'high' AND actor = $1 AND target = $2
			AND practice_id = $3 AND ip = '192.0.2.1'`, by.Actor, "account:"+w.viewer.String(), w.oak.ID.String()) != 1 {
			t.Error("the event does not say who made an administrator where")
		}
		if err := w.s.ChangeRoles(ctx, by, m, m.Version, Viewer); !errors.Is(err, ErrVersion) {
			t.Errorf("an old version: %v", err)
		}
		if err := w.s.GiveRoles(ctx, by, w.viewer, w.oak.ID, nil, Viewer); !errors.Is(err, ErrExists) {
			t.Errorf("twice: %v", err)
		}
		if err := w.s.SetRoles(ctx, w.viewer, w.oak.ID, "owner"); !errors.Is(err, ErrValue) {
			t.Errorf("an unknown role: %v", err)
		}
		if err := w.s.SetRoles(ctx, w.viewer, uuid.New(), Viewer); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown practice: %v", err)
		}
		// Without roles there is no place, and a trail that is away stops everything.
		w.must(w.s.SetRoles(ctx, w.viewer, w.oak.ID))
		if _, err := w.s.MemberOf(ctx, w.admin, w.viewer, w.oak.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("without roles: %v", err)
		}
		_, err = w.db.Exec(ctx, `ALTER TABLE audit_unchained RENAME TO away`)
		w.must(err)
		if err := w.s.SetRoles(ctx, w.viewer, w.oak.ID, Viewer); err == nil || w.count(`SELECT COUNT(*) FROM staff_roles WHERE account_id = $1`, w.viewer) != 0 {
			t.Errorf("without a trail: %v", err)
		}
	})
}

func TestOnlyWhoManagesSeesTheStaff(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		for who, want := range map[uuid.UUID]int{w.admin: 2, w.viewer: 0, w.elmAdmin: 0, w.nobody: 0, w.rosa: 0} {
			found, err := w.s.Members(t.Context(), who)
			if err != nil || len(found) != want {
				t.Errorf("%d members, want %d, %v", len(found), want, err)
			}
		}
		mine, err := w.s.MemberOf(t.Context(), w.viewer, w.viewer, w.oak.ID)
		if err != nil || mine.Perms.ManageStaff {
			t.Errorf("%+v, %v", mine.Perms, err)
		}
		for _, who := range []uuid.UUID{w.elmAdmin, w.nobody, w.rosa} {
			if _, err := w.s.Member(t.Context(), who, mine.ID); !errors.Is(err, ErrNotFound) {
				t.Errorf("a stranger: %v", err)
			}
		}
	})
}

func TestInvitingRemembersWhetherTheAccountWasThere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		tie := func(id uuid.UUID) Tie {
			t.Helper()
			c, err := w.s.Case(ctx, w.admin, id, today)
			w.must(err)
			return c.Tie
		}
		typed := &Typed{Email: "typed@example.test", Name: "What Was Typed", Locale: "es"}
		a := Association{PatientID: w.solo, AccountID: w.account("patient", "vic@example.test", "Vic", "Tim", "active"), Relationship: "other", Authority: "full"}
		id, err := w.s.Invite(ctx, w.admin, a, typed)
		w.must(err)
		if got := tie(id); got.AttachedAt == nil || got.InvitedAt == nil || !got.PortalAccess {
			t.Errorf("%+v", got)
		}
		if _, err := w.s.Invite(ctx, w.admin, a, typed); !errors.Is(err, ErrExists) {
			t.Errorf("twice: %v", err)
		}
		w.must(w.s.Withdraw(ctx, id))
		if err := w.s.Withdraw(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("withdrawn twice: %v", err)
		}
		if again, err := w.s.Invite(ctx, w.admin, a, typed); err != nil || again != id || !tie(id).PortalAccess {
			t.Errorf("given again: %v %v", again, err)
		}
		// An import that knows the tie settles it, and then staff cannot end it.
		a.PortalAccess = true
		if _, err := w.s.UpsertAssociation(ctx, a); err != nil || tie(id).AttachedAt != nil {
			t.Errorf("imported: %+v %v", tie(id), err)
		}
		if err := w.s.Withdraw(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("an import withdrawn: %v", err)
		}
		// A guardian of a sibling is known; one of another practice is not.
		for account, known := range map[uuid.UUID]bool{w.rosa: true, w.shared: true} {
			id, err := w.s.Invite(ctx, w.admin, Association{PatientID: w.solo, AccountID: account, Relationship: "mother", Authority: "full"}, typed)
			if err != nil || (tie(id).AttachedAt == nil) != known {
				t.Errorf("known: %v", err)
			}
		}
		zoe := w.account("patient", "zed@example.test", "Zed", "Elm", "active")
		w.tie(w.zoe, zoe, true, "")
		id, err = w.s.Invite(ctx, w.admin, Association{PatientID: w.solo, AccountID: zoe, Relationship: "mother", Authority: "full"}, typed)
		if err != nil || tie(id).AttachedAt == nil {
			t.Errorf("known from elsewhere: %v", err)
		}
		if _, err := w.s.Invite(ctx, w.admin, Association{PatientID: w.solo, AccountID: w.viewer, Relationship: "mother", Authority: "full"}, typed); !errors.Is(err, ErrAccount) {
			t.Errorf("staff as a guardian: %v", err)
		}
	})
}

// What staff see of an account that was there before is what they typed, also in
// the search, until its owner has signed in.
func TestWhatWasTypedStandsForTheAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		found := func(by By, q string, access Access) string {
			t.Helper()
			return fmt.Sprint(len(w.search(w.admin, by, q, access)))
		}
		zed := w.account("patient", "zed@example.test", "Zed", "Elm", "active")
		w.tie(w.zoe, zed, true, "")
		a := Association{PatientID: w.solo, AccountID: zed, Relationship: "mother", Authority: "full"}
		id, err := w.s.Invite(ctx, w.admin, a, &Typed{Email: "zed@example.test", Name: "Nea Typed", Locale: "es"})
		w.must(err)
		guardian := func() (Guardian, bool) {
			t.Helper()
			c, err := w.s.Case(ctx, w.admin, id, today)
			w.must(err)
			r, err := w.s.Patient(ctx, w.admin, w.solo)
			w.must(err)
			c.Tie.Guardian.AccountID = uuid.Nil
			r.Ties[0].Guardian.AccountID = uuid.Nil
			if r.Ties[0].Guardian.Name != c.Tie.Guardian.Name || r.Ties[0].Access(today) != c.Tie.Access(today) {
				t.Errorf("%+v and %+v", r.Ties[0], c.Tie)
			}
			return c.Tie.Guardian, c.Tie.Hidden
		}
		if g, hidden := guardian(); !hidden || g != (Guardian{Name: "Nea Typed", LoginEmail: "zed@example.test", State: "invited", Locale: "es", Version: 1}) {
			t.Errorf("%+v %v", g, hidden)
		}
		search := func() string {
			return found(ByAccount, "elm", "") + found(ByAccount, "nea", "") + found(ByPatient, "solo", AccessActive) + found(ByPatient, "solo", AccessInvited)
		}
		if got := search(); got != "0101" {
			t.Errorf("search: %s", got)
		}
		w.must(w.s.Reindex(ctx, zed)) // as when the owner changes the name
		if got := search(); got != "0101" {
			t.Errorf("search after a change of the account: %s", got)
		}
		// For a sibling the first name stays, as it would for a new account.
		sibling, err := w.s.Invite(ctx, w.admin, Association{PatientID: w.mia, AccountID: zed, Relationship: "mother", Authority: "full"},
			&Typed{Email: "zed@example.test", Name: "Other Typed"})
		w.must(err)
		if c, err := w.s.Case(ctx, w.admin, sibling, today); err != nil || c.Tie.Guardian.Name != "Nea Typed" || c.Tie.Guardian.Locale != "es" {
			t.Errorf("sibling: %+v %v", c.Tie.Guardian, err)
		}
		// The trick of taking it back does not show the account either.
		signIn := func() {
			_, err := db.Exec(ctx, `UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, zed, db.Now(ctx))
			w.must(err)
		}
		w.must(w.s.Withdraw(ctx, id))
		dbtest.Advance(db, time.Minute)
		signIn()
		w.must(w.s.CleanUp(ctx))
		if g, hidden := guardian(); !hidden || g.Name != "Nea Typed" {
			t.Errorf("taken back: %+v", g)
		}
		dbtest.Advance(db, time.Minute)
		_, err = w.s.Invite(ctx, w.admin, a, &Typed{Email: "zed@example.test", Name: "Nea Typed"})
		w.must(err)
		if c, err := w.s.Case(ctx, w.admin, id, today); err != nil || !c.Tie.Hidden && c.Tie.AttachedAt != nil {
			t.Errorf("invited again: %+v %v", c.Tie, err)
		}
		dbtest.Advance(db, time.Minute)
		signIn()
		if g, hidden := guardian(); hidden || g.Name != "Zed Elm" || g.State != "active" {
			t.Errorf("after a sign-in: %+v", g)
		}
		w.must(w.s.CleanUp(ctx))
		if got := search(); got != "2010" { // the sibling too
			t.Errorf("search after a sign-in: %s", got)
		}
	})
}

func TestAnInvitationCountsOnceADayPassesItNoMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		var wg sync.WaitGroup
		var passed atomic.Int32
		for range 12 {
			wg.Go(func() {
				ok, wait, err := w.s.CountInvitation(t.Context(), w.oak.ID, w.rosa, 5)
				switch {
				case err != nil:
					t.Error(err)
				case ok:
					passed.Add(1)
				case wait <= 23*time.Hour || wait > 24*time.Hour:
					t.Errorf("wait %s", wait)
				}
			})
		}
		wg.Wait()
		if last, n, err := w.s.Invited(t.Context(), w.oak.ID, w.rosa); passed.Load() != 5 || n != 5 || last.IsZero() || err != nil {
			t.Errorf("%d passed, %d noted, %v", passed.Load(), n, err)
		}
		if ok, _, err := w.s.CountInvitation(t.Context(), w.elm.ID, w.rosa, 5); !ok || err != nil {
			t.Errorf("another practice: %v", err)
		}
		dbtest.Advance(db, 24*time.Hour)
		if ok, _, err := w.s.CountInvitation(t.Context(), w.oak.ID, w.rosa, 5); !ok || err != nil {
			t.Errorf("a day later: %v", err)
		}
		dbtest.Advance(db, 91*24*time.Hour)
		w.must(w.s.CleanUp(t.Context()))
		if n := w.count(`SELECT COUNT(*) FROM practice_invitations`); n != 0 {
			t.Errorf("%d left", n)
		}
	})
}

func TestWhoGaveARoleAndWhen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		waives := func(p Perms) bool { return p.Waive }
		given := func(who uuid.UUID) time.Time {
			t.Helper()
			at, err := w.s.GivenAt(ctx, who, w.oak.ID, waives)
			w.must(err)
			return at
		}
		if !given(w.admin).IsZero() || !given(w.viewer).IsZero() {
			t.Error("an import's role, or none, was given by nobody")
		}
		by := Who{Actor: "account:" + w.admin.String()}
		w.must(w.s.GiveRoles(ctx, by, w.nobody, w.oak.ID, nil, Viewer))
		dbtest.Advance(db, time.Hour)
		m, err := w.s.MemberOf(ctx, w.admin, w.nobody, w.oak.ID)
		w.must(err)
		w.must(w.s.ChangeRoles(ctx, by, m, m.Version, Viewer, Administrator))
		at := given(w.nobody)
		if at.Before(db.Now(ctx).Add(-time.Minute)) {
			t.Errorf("given %s: the viewer's role is older", at)
		}
		// Another role beside it changes nothing; taking it away and giving it again does.
		dbtest.Advance(db, time.Hour)
		w.must(w.s.ChangeRoles(ctx, by, m, m.Version+1, Administrator, FrontDesk))
		if !given(w.nobody).Equal(at) {
			t.Error("a kept role is as old as it was")
		}
		w.must(w.s.ChangeRoles(ctx, by, m, m.Version+2, FrontDesk))
		w.must(w.s.ChangeRoles(ctx, by, m, m.Version+3, Administrator))
		if !given(w.nobody).After(at) {
			t.Error("a role given again is as old as before")
		}
		w.must(w.s.SetRoles(ctx, w.nobody, w.oak.ID, Administrator))
		if !given(w.nobody).IsZero() {
			t.Error("an import has confirmed it")
		}
	})
}

// An address of before is one's own address, on either side.
func TestAnAddressOfBeforeIsOnesOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		own := func() bool {
			t.Helper()
			c, err := w.s.Case(ctx, w.admin, w.miaRosa, today)
			w.must(err)
			return c.Own
		}
		moved := func(id uuid.UUID, from, to string) {
			t.Helper()
			_, err := db.Exec(ctx, `INSERT INTO former_emails (account_id, email, replaced_at) VALUES ($1, $2, $3)
				ON CONFLICT (account_id, email) DO NOTHING`, id, from, db.Now(ctx))
			w.must(err)
			_, err = db.Exec(ctx, `UPDATE accounts SET login_email = $2 WHERE id = $1`, id, to)
			w.must(err)
		}
		moved(w.rosa, "rosa.cruz@example.test", "rosa@home.example.test")
		if own() {
			t.Error("a stranger's")
		}
		moved(w.admin, "rosa@home.example.test", "admin2@oak.example.test")
		if !own() {
			t.Error("the staff's address of before is the guardian's")
		}
		moved(w.rosa, "rosa@home.example.test", "else@example.test")
		if !own() {
			t.Error("both addresses of before")
		}
		// Nor by a hundred further addresses.
		for i := range 130 {
			moved(w.rosa, fmt.Sprintf("else%d@example.test", i), "now@example.test")
			moved(w.admin, fmt.Sprintf("admin%d@oak.example.test", i), "now@oak.example.test")
		}
		if !own() {
			t.Error("enough changes make a stranger")
		}
		// What somebody else had is not theirs.
		moved(w.elmAdmin, "rosa@home.example.test", "y@example.test")
		if mine, err := w.s.Addresses(ctx, w.elmAdmin); err != nil || fmt.Sprint(mine) != "[rosa@home.example.test y@example.test]" {
			t.Errorf("%v %v", mine, err)
		}
	})
}

func TestAGuardianIsSharedWithWhomTheyHaveSignedInFor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		look := func() string {
			t.Helper()
			c, err := w.s.Case(ctx, w.admin, w.miaRosa, today)
			w.must(err)
			return fmt.Sprint(c.Shared, " ", c.Elsewhere)
		}
		a := Association{PatientID: w.zoe, AccountID: w.rosa, Relationship: "other", Authority: "none"}
		id, err := w.s.Invite(ctx, w.elmAdmin, a, &Typed{Email: "rosa.cruz@example.test", Name: "R"})
		w.must(err)
		if got := look(); got != "false true" {
			t.Errorf("only invited: %s", got)
		}
		dbtest.Advance(db, time.Minute)
		_, err = db.Exec(ctx, `UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, w.rosa, db.Now(ctx))
		w.must(err)
		if got := look(); got != "true true" {
			t.Errorf("signed in: %s", got)
		}
		lapse := func(by uuid.UUID) (events int64) {
			t.Helper()
			e := audit.Event{Realm: "patient", Kind: "association.lapsed", Severity: audit.High, Actor: "system", Target: audit.Account(w.rosa), Details: map[string]any{"by_practice": by.String()}}
			w.must(db.InTx(ctx, func(ctx context.Context) error { return w.s.Lapse(ctx, w.rosa, by, e) }))
			w.must(db.QueryRow(ctx, `SELECT COUNT(*) FROM audit_events WHERE kind = 'association.lapsed' AND practice_id = $1 AND target = $2
				AND details LIKE $3 AND details LIKE '%by_practice%'`, w.elm.ID.String(), audit.Account(w.rosa), "%"+id.String()+"%").Scan(&events))
			return events
		}
		if lapse(w.oak.ID) != 0 || lapse(uuid.Nil) != 0 || look() != "true true" {
			t.Error("what has been signed in for does not lapse")
		}
		w.must(w.s.Withdraw(ctx, id))
		if got := look(); got != "false false" {
			t.Errorf("taken back: %s", got)
		}
		dbtest.Advance(db, time.Minute)
		_, err = w.s.Invite(ctx, w.elmAdmin, a, &Typed{Email: "rosa.cruz@example.test", Name: "R"})
		w.must(err)
		if lapse(w.elm.ID) != 0 {
			t.Error("a practice's own lapses")
		}
		if lapse(w.oak.ID) != 1 || look() != "false false" {
			t.Error("it did not lapse")
		}
		dbtest.Advance(db, time.Minute)
		_, err = w.s.Invite(ctx, w.elmAdmin, a, &Typed{Email: "rosa.cruz@example.test", Name: "R"})
		w.must(err)
		if lapse(uuid.Nil) != 2 || look() != "false false" {
			t.Error("it did not lapse when the owner changed the address")
		}
	})
}
