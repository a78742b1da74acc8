package practice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
)

const today = "2025-03-06"

func trail(t *testing.T, db *database.DB) *audit.Log {
	t.Helper()
	log, err := audit.New(db, audit.Options{Keys: [][]byte{make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// town is two practices with families and staff.
type town struct {
	t  *testing.T
	db *database.DB
	s  *Store

	oak, elm               Practice
	admin, viewer, nobody  uuid.UUID // staff of oak, of oak, of none
	elmAdmin               uuid.UUID
	rosa, tom, shared, cam uuid.UUID // guardians
	mia, leo, zoe, solo    uuid.UUID // patients: mia, leo in oak; zoe in elm; solo in oak without guardian
	miaRosa, miaTom        uuid.UUID // associations
	leoShared, zoeShared   uuid.UUID
}

func build(t *testing.T, db *database.DB) *town {
	w := &town{t: t, db: db, s: New(db, Realms{Patient: "patient", Practice: "practice"}, trail(t, db))}
	w.oak = Practice{ID: database.NewID(), Name: "Oak Street Pediatrics", SupportPhone: "555-0100"}
	w.elm = Practice{ID: database.NewID(), Name: "Elm Family Care", SupportPhone: "555-0200"}
	w.must(w.s.UpsertPractice(t.Context(), w.oak))
	w.must(w.s.UpsertPractice(t.Context(), w.elm))

	w.admin = w.account("practice", "admin@oak.example.test", "Ada", "Admin", "active")
	w.viewer = w.account("practice", "viewer@oak.example.test", "Vic", "Viewer", "active")
	w.nobody = w.account("practice", "nobody@oak.example.test", "Nora", "Norole", "active")
	w.elmAdmin = w.account("practice", "admin@elm.example.test", "Eli", "Elm", "active")
	w.must(w.s.SetRoles(t.Context(), w.admin, w.oak.ID, Administrator))
	w.must(w.s.SetRoles(t.Context(), w.viewer, w.oak.ID, Viewer))
	w.must(w.s.SetRoles(t.Context(), w.elmAdmin, w.elm.ID, FrontDesk))

	w.rosa = w.account("patient", "rosa.cruz@example.test", "Rosa María", "de la Cruz", "active")
	w.tom = w.account("patient", "tom@example.test", "Tom", "O’Brien", "invited")
	w.shared = w.account("patient", "sam@example.test", "Sam", "Núñez", "active")
	w.cam = w.account("patient", "cam@example.test", "Cam", "Off", "disabled")

	w.mia = w.patient(w.oak, "AC-1001", "Mía", "Cruz")
	w.leo = w.patient(w.oak, "AC-1002", "Leo", "Núñez")
	w.zoe = w.patient(w.elm, "AC-1001", "Zoë", "Núñez")
	w.solo = w.patient(w.oak, "AC-1003", "Solo", "Stern")
	w.miaRosa = w.tie(w.mia, w.rosa, true, "")
	w.miaTom = w.tie(w.mia, w.tom, true, "")
	w.leoShared = w.tie(w.leo, w.shared, true, "")
	w.zoeShared = w.tie(w.zoe, w.shared, true, "")
	w.tie(w.leo, w.cam, true, "")
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) account(realm, email, given, family, state string) uuid.UUID {
	w.t.Helper()
	id := database.NewID()
	now := w.db.Now(w.t.Context())
	_, err := w.db.Exec(w.t.Context(), `
		INSERT INTO accounts (id, realm, login_email, state, given_name, family_name, name, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, '', $7, $7)`, id, realm, email, state, given, family, now)
	w.must(err)
	return id
}

func (w *town) patient(p Practice, number, given, family string) uuid.UUID {
	w.t.Helper()
	id, err := w.s.UpsertPatient(w.t.Context(), Patient{PracticeID: p.ID, AccountNumber: number, GivenName: given, FamilyName: family, BirthDate: "2019-05-17"})
	w.must(err)
	return id
}

func (w *town) tie(patient, account uuid.UUID, access bool, ends string) uuid.UUID {
	w.t.Helper()
	id, err := w.s.UpsertAssociation(w.t.Context(), Association{PatientID: patient, AccountID: account,
		Relationship: "parent", Authority: "full", PortalAccess: access, EndsOn: ends})
	w.must(err)
	return id
}

func (w *town) search(staff uuid.UUID, by By, q string, access Access) []uuid.UUID {
	w.t.Helper()
	found, _, err := w.s.Search(w.t.Context(), staff, Query{By: by, Q: q, Access: access, Limit: 50, Today: today})
	w.must(err)
	var ids []uuid.UUID
	for _, r := range found {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestPatientsAreFoundByAnyWordInEitherOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		for _, c := range []struct {
			by   By
			q    string
			want []uuid.UUID
		}{
			{ByPatient, "", []uuid.UUID{w.mia, w.leo, w.solo}},
			{ByPatient, "mia", []uuid.UUID{w.mia}},
			{ByPatient, "MÍA C", []uuid.UUID{w.mia}},
			{ByPatient, "cruz, mia", []uuid.UUID{w.mia}},
			{ByPatient, "nunez", []uuid.UUID{w.leo}},
			{ByPatient, "ia", nil},
			{ByPatient, "rosa", nil},
			{ByPatient, "%", nil},
			{ByPatient, "_ia", nil},
			{ByAccount, "rosa", []uuid.UUID{w.mia}},
			{ByAccount, "la cruz rosa", []uuid.UUID{w.mia}},
			{ByAccount, "rosa.cruz@EXAMPLE", []uuid.UUID{w.mia}},
			{ByAccount, "obrien", []uuid.UUID{w.mia}},
			{ByAccount, "O’Brien", []uuid.UUID{w.mia}},
			{ByAccount, "mia", nil},
			{ByAccount, "ac1001", []uuid.UUID{w.mia}},
			{ByAccount, "1001", []uuid.UUID{w.mia}},
			{ByAccount, "AC-100", []uuid.UUID{w.mia, w.leo, w.solo}},
			{ByAccount, "cam@example.test", []uuid.UUID{w.leo}},
			{ByAccount, "\u0301", nil},
		} {
			if got := w.search(w.admin, c.by, c.q, ""); !slices.Equal(got, c.want) {
				t.Errorf("by %s, %q: found %v, want %v", c.by, c.q, got, c.want)
			}
		}
	})
}

func TestAccessNarrowsTheSearch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ended := w.patient(w.oak, "AC-1004", "Ended", "Xu")
		w.tie(ended, w.rosa, true, "2025-03-05")
		off := w.patient(w.oak, "AC-1005", "Off", "Yu")
		w.tie(off, w.rosa, false, "")
		for _, c := range []struct {
			access Access
			want   []uuid.UUID
		}{
			{AccessActive, []uuid.UUID{w.mia, w.leo}},
			{AccessInvited, []uuid.UUID{w.mia}},
			{AccessDisabled, []uuid.UUID{w.leo}},
			{AccessNone, []uuid.UUID{w.solo, ended, off}},
		} {
			if got := w.search(w.admin, ByPatient, "", c.access); !slices.Equal(got, c.want) {
				t.Errorf("access %s: found %v, want %v", c.access, got, c.want)
			}
		}
	})
}

func TestStaffSeeTheirPracticesOnly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := t.Context()
		if got := w.search(w.elmAdmin, ByAccount, "", ""); !slices.Equal(got, []uuid.UUID{w.zoe}) {
			t.Errorf("staff of elm found %v", got)
		}
		for _, stranger := range []uuid.UUID{w.nobody, w.rosa, uuid.New()} {
			if got := w.search(stranger, ByPatient, "", ""); got != nil {
				t.Errorf("%v found %v", stranger, got)
			}
		}
		if _, err := w.s.Patient(ctx, w.admin, w.zoe); !errors.Is(err, ErrNotFound) {
			t.Errorf("a patient of another practice: %v", err)
		}
		if _, err := w.s.Case(ctx, w.admin, w.zoeShared, today); !errors.Is(err, ErrNotFound) {
			t.Errorf("an association of another practice: %v", err)
		}
		// A role in two practices opens both, with the permissions of each.
		w.must(w.s.SetRoles(ctx, w.admin, w.elm.ID, Viewer))
		c, err := w.s.Case(ctx, w.admin, w.zoeShared, today)
		w.must(err)
		if c.Perms != Viewer.Perms() {
			t.Errorf("permissions of a viewer: %+v", c.Perms)
		}
		c, err = w.s.Case(ctx, w.admin, w.leoShared, today)
		w.must(err)
		if c.Perms != Administrator.Perms() || !c.Shared {
			t.Errorf("case of leo: %+v shared %v", c.Perms, c.Shared)
		}
		// Roles count from the next read on, and so does the account's state.
		w.must(w.s.SetRoles(ctx, w.admin, w.elm.ID))
		if _, err := w.s.Case(ctx, w.admin, w.zoeShared, today); !errors.Is(err, ErrNotFound) {
			t.Errorf("after the role was taken away: %v", err)
		}
		_, err = db.Exec(ctx, `UPDATE accounts SET state = 'disabled' WHERE id = $1`, w.admin)
		w.must(err)
		if got := w.search(w.admin, ByPatient, "", ""); got != nil {
			t.Errorf("a disabled member of staff found %v", got)
		}
		if perms, err := w.s.Permissions(ctx, w.admin); err != nil || len(perms) != 0 {
			t.Errorf("permissions of a disabled member of staff: %v, %v", perms, err)
		}
	})
}

func TestASharedGuardianIsNoticedUntilTheOtherTieEnds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		shared := func(association uuid.UUID) bool {
			t.Helper()
			c, err := w.s.Case(t.Context(), w.admin, association, today)
			w.must(err)
			return c.Shared
		}
		if shared(w.miaRosa) || !shared(w.leoShared) {
			t.Error("rosa is of one practice, sam of two")
		}
		// A second child in the same practice is not another practice.
		w.tie(w.solo, w.rosa, true, "")
		if shared(w.miaRosa) {
			t.Error("two children of one practice make no sharing")
		}
		w.tie(w.zoe, w.shared, true, today)
		if !shared(w.leoShared) {
			t.Error("the last day still counts")
		}
		w.tie(w.zoe, w.shared, true, "2025-03-05")
		if shared(w.leoShared) {
			t.Error("the other tie has ended")
		}
	})
}

func TestOwnAccountsAreRecognised(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		own := func(staff uuid.UUID) bool {
			t.Helper()
			c, err := w.s.Case(t.Context(), staff, w.miaRosa, today)
			w.must(err)
			return c.Own
		}
		if own(w.admin) {
			t.Error("nothing ties the two yet")
		}
		w.must(w.s.LinkPerson(t.Context(), w.admin, w.rosa))
		w.must(w.s.LinkPerson(t.Context(), w.admin, w.rosa))
		if !own(w.admin) || own(w.viewer) {
			t.Error("the link counts, for the linked person only")
		}
		same := w.account("practice", "rosa.cruz@example.test", "Rosa", "Cruz", "active")
		w.must(w.s.SetRoles(t.Context(), same, w.oak.ID, FrontDesk))
		if !own(same) {
			t.Error("an equal login email is the same person")
		}
		if err := w.s.LinkPerson(t.Context(), w.rosa, w.admin); !errors.Is(err, ErrAccount) {
			t.Errorf("the wrong way round: %v", err)
		}
	})
}

func TestReindexFollowsTheAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		_, err := db.Exec(t.Context(), `UPDATE accounts SET login_email = 'new@example.test', family_name = 'Vega' WHERE id = $1`, w.rosa)
		w.must(err)
		w.must(w.s.Reindex(t.Context(), w.rosa))
		for q, want := range map[string][]uuid.UUID{
			"new@": {w.mia}, "vega": {w.mia}, "rosa.cruz@": nil, "la cruz": nil, "obrien": {w.mia}, "1001": {w.mia},
		} {
			if got := w.search(w.admin, ByAccount, q, ""); !slices.Equal(got, want) {
				t.Errorf("%q: found %v, want %v", q, got, want)
			}
		}
	})
}

func TestPagesNeitherSkipNorRepeat(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		for i := range 23 {
			p := w.patient(w.oak, fmt.Sprintf("P-%d", i), "Same", "Name")
			if i%3 == 0 {
				w.tie(p, w.rosa, true, "")
				w.tie(p, w.tom, true, "")
			}
		}
		q := Query{By: ByPatient, Q: "same", Limit: 5, Today: today}
		seen := map[uuid.UUID]bool{}
		pages := 0
		for {
			found, more, err := w.s.Search(t.Context(), w.admin, q)
			w.must(err)
			pages++
			for _, r := range found {
				if seen[r.ID] {
					t.Fatalf("%v twice", r.ID)
				}
				seen[r.ID] = true
			}
			if !more {
				break
			}
			q.After = found[len(found)-1].Position
		}
		if len(seen) != 23 || pages != 5 {
			t.Errorf("%d patients on %d pages", len(seen), pages)
		}
	})
}

func TestUpsertsAreIdempotent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		if again := w.patient(w.oak, "AC-1001", "Mía", "Cruz"); again != w.mia {
			t.Errorf("a second patient %v", again)
		}
		if again := w.tie(w.mia, w.rosa, false, ""); again != w.miaRosa {
			t.Errorf("a second association %v", again)
		}
		c, err := w.s.Case(t.Context(), w.admin, w.miaRosa, today)
		w.must(err)
		if c.Tie.PortalAccess || c.Tie.Guardian.Name != "Rosa María de la Cruz" {
			t.Errorf("case %+v", c.Tie)
		}
		w.must(w.s.SetRoles(t.Context(), w.admin, w.oak.ID, Viewer, Provider))
		m, err := w.s.Memberships(t.Context(), w.admin)
		w.must(err)
		if len(m) != 1 || !slices.Equal(m[0].Roles, []Role{Provider, Viewer}) {
			t.Errorf("memberships %+v", m)
		}
	})
}

func TestOnlyAccountsOfTheRightRealmAreTied(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx := context.Background()
		if _, err := w.s.UpsertAssociation(ctx, Association{PatientID: w.mia, AccountID: w.admin, Relationship: "parent", Authority: "full"}); !errors.Is(err, ErrAccount) {
			t.Errorf("staff as a guardian: %v", err)
		}
		if err := w.s.SetRoles(ctx, w.rosa, w.oak.ID, Administrator); !errors.Is(err, ErrAccount) {
			t.Errorf("a guardian as staff: %v", err)
		}
		if _, err := w.s.UpsertPatient(ctx, Patient{PracticeID: w.oak.ID, AccountNumber: "1", GivenName: "", FamilyName: "X", BirthDate: "yesterday"}); !errors.Is(err, ErrValue) {
			t.Errorf("nonsense stored: %v", err)
		}
	})
}

func TestASearchIsOneRoundTrip(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db)
		ctx, trips := dbtest.CountTrips(t.Context())
		_, _, err := w.s.Search(ctx, w.admin, Query{By: ByAccount, Q: "cruz", Access: AccessActive, Limit: 10, Today: today})
		w.must(err)
		if n := trips.Trips(); n != 1 {
			t.Errorf("%d round trips", n)
		}
	})
}
