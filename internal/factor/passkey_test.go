package factor_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
)

var (
	herBrowser = []byte("the browser of Maria, as a hash!")
	another    = []byte("the browser of somebody else....")
	here       = virtualwebauthn.RelyingParty{ID: "localhost", Name: "Maple Clinic", Origin: "http://localhost:9000"}
)

// key is an authenticator with one passkey.
type key struct {
	device virtualwebauthn.Authenticator
	cred   virtualwebauthn.Credential
}

func newKey(synced bool) *key {
	return &key{device: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{BackupEligible: synced, BackupState: synced}),
		cred: newCredential()}
}

// newCredential makes a key whose coordinates have no leading zero byte: the
// library drops those, and one key of 128 would be malformed.
func newCredential() virtualwebauthn.Credential {
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if len(c.Key.AttestationData()) == 77 {
			return c
		}
	}
}

// create answers the options of a page.
func (k *key) create(t *testing.T, rp virtualwebauthn.RelyingParty, options json.RawMessage) []byte {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(options))
	must(t, err)
	k.device.Options.UserHandle = []byte(parsed.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(rp, k.device, k.cred, *parsed))
}

// get answers the options of a sign-in.
func (k *key) get(t *testing.T, rp virtualwebauthn.RelyingParty, options json.RawMessage) []byte {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(string(options))
	must(t, err)
	return []byte(virtualwebauthn.CreateAssertionResponse(rp, k.device, k.cred, *parsed))
}

// register adds a passkey to an account.
func (w *world) register(r *realm.Realm, a account.Account, k *key) *key {
	w.T.Helper()
	options, err := w.factors.Creation(w.T.Context(), r, herBrowser, a)
	must(w.T, err)
	must(w.T, w.factors.FinishPasskey(w.T.Context(), r, herBrowser, a, k.create(w.T, here, options), "Her phone", w.by))
	return k
}

// ask is what a sign-in page asks: any passkey, or one of an account.
func (w *world) ask(r *realm.Realm, a *account.Account) json.RawMessage {
	w.T.Helper()
	options, err := w.factors.Assertion(w.T.Context(), r, herBrowser, a)
	must(w.T, err)
	return options
}

func TestAPasskeySignsIn(t *testing.T) {
	for _, kind := range []virtualwebauthn.KeyType{virtualwebauthn.KeyTypeEC2, virtualwebauthn.KeyTypeRSA} {
		each(t, func(t *testing.T, w *world) {
			k := newKey(false)
			if kind != virtualwebauthn.KeyTypeEC2 {
				k.cred = virtualwebauthn.NewCredential(kind)
			}
			w.register(w.Realm, w.maria, k)
			proof, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil)
			if err != nil || proof.AccountID != w.maria.ID || proof.PasskeyName != "Her phone" || !slices.Equal(proof.AMR, []string{"hwk", "user", "mfa"}) {
				t.Fatalf("by itself: %+v %v", proof, err)
			}
			proof, err = w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, &w.maria)), &w.maria.ID)
			if err != nil || proof.AccountID != w.maria.ID {
				t.Fatalf("as a second step: %+v %v", proof, err)
			}
			list, err := w.factors.Passkeys(t.Context(), w.Realm, w.maria.ID)
			if err != nil || len(list) != 1 || list[0].LastUsedAt == nil {
				t.Errorf("it was never used: %+v %v", list, err)
			}
		})
	}
}

func TestASyncedPasskeySaysSo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(true))
		for range 2 { // its count stays at nought
			proof, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil)
			if err != nil || proof.AMR[0] != "swk" {
				t.Fatalf("%+v %v", proof, err)
			}
		}
	})
}

func TestWhatThePageAsksOfTheBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		raw, err := w.factors.Creation(t.Context(), w.Realm, herBrowser, w.maria)
		must(t, err)
		var o struct {
			RP                     struct{ ID, Name string }
			User                   struct{ ID, Name, DisplayName string }
			PubKeyCredParams       []struct{ Alg int }
			ExcludeCredentials     []struct{ ID string }
			AuthenticatorSelection struct {
				ResidentKey, UserVerification string
				RequireResidentKey            bool
			}
			Attestation string
			Timeout     int
		}
		must(t, json.Unmarshal(raw, &o))
		handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
		must(t, err)
		if o.RP.ID != "localhost" || o.RP.Name != "Maple Clinic" || o.User.Name != w.maria.LoginEmail || o.Attestation != "none" || o.Timeout != 300000 {
			t.Errorf("%s", raw)
		}
		if len(handle) != 64 || strings.Contains(string(handle), w.maria.ID.String()) || strings.Contains(string(handle), string(w.maria.ID[:])) {
			t.Error("the user handle is not 64 bytes that say nothing")
		}
		if s := o.AuthenticatorSelection; s.ResidentKey != "required" || !s.RequireResidentKey || s.UserVerification != "required" {
			t.Errorf("%+v", s)
		}
		if len(o.PubKeyCredParams) != 3 || o.PubKeyCredParams[0].Alg != -7 || o.PubKeyCredParams[1].Alg != -8 || o.PubKeyCredParams[2].Alg != -257 {
			t.Errorf("%+v", o.PubKeyCredParams)
		}
		if len(o.ExcludeCredentials) != 1 || o.ExcludeCredentials[0].ID != base64.RawURLEncoding.EncodeToString(k.cred.ID) {
			t.Errorf("%+v", o.ExcludeCredentials)
		}
	})
}

func TestARequestForAnyPasskeyNamesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		raw := string(w.ask(w.Realm, nil))
		if strings.Contains(raw, "allowCredentials") || !strings.Contains(raw, `"userVerification":"required"`) {
			t.Errorf("%s", raw)
		}
		if raw := string(w.ask(w.Realm, &w.maria)); !strings.Contains(raw, base64.RawURLEncoding.EncodeToString(k.cred.ID)) {
			t.Errorf("her own passkey is not asked for: %s", raw)
		}
		other := w.Person("second@example.test")
		if raw := w.ask(w.Realm, &other); raw != nil {
			t.Errorf("asked for the passkey of somebody who has none: %s", raw)
		}
	})
}

// refusedAssertion runs a sign-in that must not succeed.
func (w *world) refusedAssertion(r *realm.Realm, browser, response []byte, want *uuid.UUID, expect error) {
	w.T.Helper()
	proof, err := w.factors.VerifyAssertion(w.T.Context(), r, browser, response, want)
	if !errors.Is(err, expect) || proof.AccountID != uuid.Nil {
		w.T.Errorf("%+v %v, want %v", proof, err, expect)
	}
}

func TestAnswersForAnotherPurposeAreWorthNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		other := w.Person("second@example.test")
		theirs := w.register(w.Realm, other, newKey(false))

		w.refusedAssertion(w.Realm, another, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrChallenge)
		w.refusedAssertion(w.Realm, nil, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrChallenge)
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), &w.maria.ID, factor.ErrChallenge)
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, &w.maria)), nil, factor.ErrChallenge)
		w.refusedAssertion(w.Realm, herBrowser, theirs.get(t, here, w.ask(w.Realm, &other)), &w.maria.ID, factor.ErrChallenge)
		// The challenge is hers, the passkey is not.
		w.refusedAssertion(w.Realm, herBrowser, theirs.get(t, here, w.ask(w.Realm, &w.maria)), &w.maria.ID, factor.ErrPasskey)

		creation, err := w.factors.Creation(t.Context(), w.Realm, herBrowser, w.maria)
		must(t, err)
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, creation), nil, factor.ErrChallenge)
		if w.Count(`SELECT COUNT(*) FROM spent_challenges`) != 2 { // the two registrations
			t.Error("a refused answer has spent a challenge")
		}
	})
}

func TestAnAnswerCountsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(true))
		answer := k.get(t, here, w.ask(w.Realm, nil))
		if won := parallel(16, func() error {
			_, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, answer, nil)
			if err != nil && !errors.Is(err, factor.ErrChallenge) {
				t.Error(err)
			}
			return err
		}); won != 1 {
			t.Errorf("%d of 16 replays were accepted", won)
		}
		w.refusedAssertion(w.Realm, herBrowser, answer, nil, factor.ErrChallenge)
	})
}

func TestAnAnswerIsTooLateAfterFiveMinutes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(true))
		early, late := k.get(t, here, w.ask(w.Realm, nil)), k.get(t, here, w.ask(w.Realm, nil))
		dbtest.Advance(w.DB, 4*time.Minute+50*time.Second)
		_, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, early, nil)
		must(t, err)
		dbtest.Advance(w.DB, 20*time.Second)
		w.refusedAssertion(w.Realm, herBrowser, late, nil, factor.ErrChallenge)
		must(t, w.factors.CleanUp(t.Context()))
		if n := w.Count(`SELECT COUNT(*) FROM spent_challenges`); n != 0 {
			t.Errorf("%d challenges are left over", n)
		}
		w.refusedAssertion(w.Realm, herBrowser, early, nil, factor.ErrChallenge) // forgotten, but too old
	})
}

func TestAPhishingSiteGetsNoUsefulAnswer(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		for _, site := range []virtualwebauthn.RelyingParty{
			{ID: "localhost", Origin: "https://localhost:9000"},
			{ID: "localhost", Origin: "http://localhost:9001"},
			{ID: "localhost", Origin: "http://portal.localhost:9000"},
			{ID: "localhost", Origin: "http://localhost.evil.example"},
			{ID: "evil.example", Origin: "http://localhost:9000"},
		} {
			w.refusedAssertion(w.Realm, herBrowser, k.get(t, site, w.ask(w.Realm, nil)), nil, factor.ErrPasskey)
			creation, err := w.factors.Creation(t.Context(), w.Realm, herBrowser, w.maria)
			must(t, err)
			if err := w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, w.maria, newKey(false).create(t, site, creation), "x", w.by); !errors.Is(err, factor.ErrPasskey) {
				t.Errorf("%+v registered: %v", site, err)
			}
		}
		k.cred.Key = newCredential().Key
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrPasskey)
	})
}

func TestAPasskeyOfAnotherRealmOnTheSameHostIsUnknown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		// The other realm's own challenge, answered by a passkey of this one.
		w.refusedAssertion(w.Other, herBrowser, k.get(t, here, w.ask(w.Other, nil)), nil, factor.ErrPasskey)
		// And this realm's challenge in the other.
		w.refusedAssertion(w.Other, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrChallenge)
		staff, err := w.Accounts.Create(t.Context(), w.Other, account.New{LoginEmail: "staff@example.test", State: account.Active,
			Password: "seven quiet harbour stones"})
		must(t, err)
		if list, err := w.factors.Passkeys(t.Context(), w.Other, w.maria.ID); err != nil || len(list) != 0 {
			t.Errorf("the other realm lists it: %v %v", list, err)
		}
		w.register(w.Other, staff, newKey(false))
		if w.ask(w.Other, &w.maria) != nil {
			t.Error("the other realm asks for her passkey")
		}
	})
}

func TestAPasskeyThatDidNotVerifyItsPersonIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		k.device.Options.UserNotVerified = true
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrPasskey)
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, &w.maria)), &w.maria.ID, factor.ErrPasskey)
		k.device.Options.UserNotVerified, k.device.Options.UserNotPresent = false, true
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrPasskey)

		unverified := newKey(false)
		unverified.device.Options.UserNotVerified = true
		creation, err := w.factors.Creation(t.Context(), w.Realm, herBrowser, w.maria)
		must(t, err)
		if err := w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, w.maria, unverified.create(t, here, creation), "x", w.by); !errors.Is(err, factor.ErrPasskey) {
			t.Errorf("registered: %v", err)
		}
	})
}

func TestACopiedPasskeyIsRefusedAndReported(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		k.cred.Counter = 7
		_, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil)
		must(t, err)
		for i, count := range []uint32{7, 6, 0} {
			k.cred.Counter = count
			answer := k.get(t, here, w.ask(w.Realm, nil))
			var refusal *factor.Refusal
			_, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, answer, nil)
			if !errors.As(err, &refusal) || refusal.Why != "cloned" || refusal.AccountID != w.maria.ID {
				t.Errorf("count %d after 7: %v", count, err)
			}
			if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'passkey.cloned' AND severity = 'high'`); n != i+1 {
				t.Errorf("%d reports, want %d", n, i+1)
			}
			w.refusedAssertion(w.Realm, herBrowser, answer, nil, factor.ErrChallenge)
		}
		k.cred.Counter = 8
		_, err = w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil)
		must(t, err)
	})
}

func TestAPasskeyOfSomebodyElseCannotBeRegisteredAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		other := w.Person("second@example.test")
		options, err := w.factors.Creation(t.Context(), w.Realm, herBrowser, other)
		must(t, err)
		thief := &key{device: k.device, cred: k.cred}
		if err := w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, other, thief.create(t, here, options), "x", w.by); !errors.Is(err, factor.ErrKnown) {
			t.Errorf("registered to another account: %v", err)
		}
		if w.summary(other).Any() {
			t.Error("it counts for the other account")
		}
		proof, err := w.factors.VerifyAssertion(t.Context(), w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil)
		if err != nil || proof.AccountID != w.maria.ID {
			t.Errorf("it is not hers any more: %+v %v", proof, err)
		}
	})
}

func TestOptionsForAnotherAccountRegisterNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.Person("second@example.test")
		options, err := w.factors.Creation(t.Context(), w.Realm, herBrowser, other)
		must(t, err)
		k := newKey(false)
		answer := k.create(t, here, options)
		for _, err := range []error{
			w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, w.maria, answer, "x", w.by),
			w.factors.FinishPasskey(t.Context(), w.Realm, another, other, answer, "x", w.by),
			w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, w.maria, k.create(t, here, w.ask1(other)), "x", w.by),
		} {
			if !errors.Is(err, factor.ErrChallenge) {
				t.Errorf("%v", err)
			}
		}
		for _, junk := range []string{"", "{}", "[]", "null", `{"id":"AA","rawId":"AA","type":"public-key"}`, strings.Repeat("x", 40<<10)} {
			if err := w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, w.maria, []byte(junk), "x", w.by); !errors.Is(err, factor.ErrPasskey) {
				t.Errorf("%.20q: %v", junk, err)
			}
			w.refusedAssertion(w.Realm, herBrowser, []byte(junk), nil, factor.ErrPasskey)
		}
		must(t, w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, other, answer, "x", w.by))
		if err := w.factors.FinishPasskey(t.Context(), w.Realm, herBrowser, other, answer, "x", w.by); !errors.Is(err, factor.ErrChallenge) {
			t.Errorf("the same answer again: %v", err)
		}
	})
}

// ask1 is a creation request whose challenge is one of a sign-in.
func (w *world) ask1(a account.Account) json.RawMessage {
	w.T.Helper()
	creation, err := w.factors.Creation(w.T.Context(), w.Realm, herBrowser, a)
	must(w.T, err)
	var c, g map[string]any
	must(w.T, json.Unmarshal(creation, &c))
	must(w.T, json.Unmarshal(w.ask(w.Realm, nil), &g))
	c["challenge"] = g["challenge"]
	out, err := json.Marshal(c)
	must(w.T, err)
	return out
}

func TestAnAccountHasOnlySoManyPasskeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := *w.Realm
		r.Factors.PasskeysPerPerson = 2
		first, err := w.factors.Creation(t.Context(), &r, herBrowser, w.maria)
		must(t, err)
		for range 2 {
			w.register(&r, w.maria, newKey(false))
		}
		if err := w.factors.FinishPasskey(t.Context(), &r, herBrowser, w.maria, newKey(false).create(t, here, first), "x", w.by); !errors.Is(err, factor.ErrFull) {
			t.Errorf("a third, begun before: %v", err)
		}
		if _, err := w.factors.Creation(t.Context(), &r, herBrowser, w.maria); !errors.Is(err, factor.ErrFull) {
			t.Errorf("a third: %v", err)
		}
	})
}

func TestAPasskeyIsTheOwnersToRenameAndRemove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		other := w.Person("second@example.test")
		list, err := w.factors.Passkeys(t.Context(), w.Realm, w.maria.ID)
		must(t, err)
		id := list[0].ID
		if err := w.factors.RenamePasskey(t.Context(), w.Realm, other, id, "Mine", w.by); !errors.Is(err, factor.ErrNotFound) {
			t.Errorf("renamed by somebody else: %v", err)
		}
		if err := w.factors.RemovePasskey(t.Context(), w.Realm, other, id, w.by); !errors.Is(err, factor.ErrNotFound) {
			t.Errorf("removed by somebody else: %v", err)
		}
		must(t, w.factors.RenamePasskey(t.Context(), w.Realm, w.maria, id, " Her \n new   phone ", w.by))
		list, err = w.factors.Passkeys(t.Context(), w.Realm, w.maria.ID)
		if err != nil || list[0].Name != "Her new phone" {
			t.Errorf("%+v %v", list, err)
		}
		if err := w.factors.RemovePasskey(t.Context(), demanding(w.Realm), w.maria, id, w.by); !errors.Is(err, factor.ErrRequired) {
			t.Errorf("the last one, where one is demanded: %v", err)
		}
		must(t, w.factors.RemovePasskey(t.Context(), w.Realm, w.maria, id, w.by))
		w.refusedAssertion(w.Realm, herBrowser, k.get(t, here, w.ask(w.Realm, nil)), nil, factor.ErrPasskey)
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'factor.removed' AND severity = 'high'`) != 1 || w.Events("factor.added") != 1 {
			t.Error("adding or removing is not on record")
		}
	})
}

func TestPasskeysAreVerifiedOutsideOfTransactions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.register(w.Realm, w.maria, newKey(false))
		answer := k.get(t, here, w.ask(w.Realm, nil))
		err := w.DB.InTx(t.Context(), func(ctx context.Context) error {
			_, err := w.factors.VerifyAssertion(ctx, w.Realm, herBrowser, answer, nil)
			return err
		})
		if err == nil {
			t.Error("a refusal would undo what it records")
		}
	})
}

func TestARealmAtAnIPAddressHasNoPasskeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		r, err := realm.New(realm.Realm{Name: "patient", Kind: realm.Patient, Issuer: "http://127.0.0.1:9000", DefaultLocale: "en",
			Locales: []string{"en"}, Brand: realm.Brand{Name: "Maple"}}, nil)
		must(t, err)
		if options, err := w.factors.Assertion(t.Context(), r, herBrowser, nil); options != nil || err != nil {
			t.Errorf("%s %v", options, err)
		}
		if _, err := w.factors.Creation(t.Context(), r, herBrowser, w.maria); !errors.Is(err, factor.ErrNoPasskeys) {
			t.Errorf("%v", err)
		}
	})
}
