package server_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// person is somebody with an account, and what only they know.
type person struct {
	id                      uuid.UUID
	realm, name, email      string
	password, other, answer string // other is the next password
	association             uuid.UUID
}

var peopleMade atomic.Int64

// person makes somebody whom no other test knows.
func (w *world) person(t testing.TB, realmName string) *person {
	t.Helper()
	n := peopleMade.Add(1)
	p := &person{realm: realmName, name: fmt.Sprintf("Pat Number%d", n), email: fmt.Sprintf("pat%d@example.test", n),
		password: "first walnut " + randomText(9), other: "second walnut " + randomText(9), answer: "Answer " + randomText(9)}
	a, err := w.srv.Accounts().Create(context.Background(), w.realm(t, realmName), account.New{
		LoginEmail: p.email, EmailVerified: true, State: account.Active, GivenName: "Pat", FamilyName: fmt.Sprintf("Number%d", n),
		Name: p.name, Locale: "en", Password: p.password, Question: "first_pet", Answer: p.answer})
	if err != nil {
		t.Fatal(err)
	}
	p.id = a.ID
	return p
}

// invited makes somebody whose invitation is under way.
func (w *world) invited(t testing.TB, realmName string) *person {
	t.Helper()
	n := peopleMade.Add(1)
	p := &person{realm: realmName, email: fmt.Sprintf("new%d@example.test", n),
		password: "first walnut " + randomText(9), other: "second walnut " + randomText(9), answer: "Answer " + randomText(9)}
	ctx, r := context.Background(), w.realm(t, realmName)
	err := w.db().InTx(ctx, func(ctx context.Context) error {
		a, err := w.srv.Accounts().Create(ctx, r, account.New{LoginEmail: p.email, State: account.Invited, GivenName: "New", FamilyName: "Person"})
		if err != nil {
			return err
		}
		p.id = a.ID
		return w.srv.Accounts().Invite(ctx, r, a.ID, account.By{Actor: "system", Name: "Maple Street Clinic"})
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// guardian makes a person with a child in the care of the practice that staff
// of the demo like Dana work in.
func (w *world) guardian(t testing.TB) *person {
	t.Helper()
	p := w.person(t, "patient")
	ctx := context.Background()
	child, err := w.srv.Practices().UpsertPatient(ctx, practice.Patient{PracticeID: maple.ID,
		AccountNumber: "T-" + p.id.String()[24:], GivenName: "Child of", FamilyName: p.email, BirthDate: "2019-05-11"})
	if err != nil {
		t.Fatal(err)
	}
	p.association, err = w.srv.Practices().UpsertAssociation(ctx, practice.Association{PatientID: child, AccountID: p.id,
		Relationship: "guardian", Authority: "full", PortalAccess: true, StartsOn: "2024-01-15"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// staff makes somebody who works in a practice of the demo.
func (w *world) staff(t testing.TB, at seed.Practice, role practice.Role) *person {
	t.Helper()
	p := w.person(t, "practice")
	if err := w.srv.Practices().SetRoles(context.Background(), p.id, at.ID, role); err != nil {
		t.Fatal(err)
	}
	return p
}

// The practices of the demo.
var maple, juniper = seed.Demo().Practices[0], seed.Demo().Practices[1]

// seededPerson is somebody of the demo. Many tests meet them: change nothing.
func seededPerson(t testing.TB, realmName, email string) *person {
	t.Helper()
	for _, a := range seed.Demo().Accounts {
		if a.Realm == realmName && a.Email == email {
			return &person{id: a.ID, realm: a.Realm, name: a.Name(), email: a.Email, password: a.Password, answer: a.Answer}
		}
	}
	t.Fatalf("nobody in %s has the address %s", realmName, email)
	return nil
}

func (w *world) realm(t testing.TB, name string) *realm.Realm {
	t.Helper()
	for _, r := range w.realms {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no realm %s", name)
	return nil
}
