package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// Attempt is one try to prove who one is by a password. Device is not empty
// when the browser has proved that it signed in to this account before, with
// the password of today: it is then slowed down by its own failures only, so
// that an attacker cannot keep the person out.
type Attempt struct {
	Email   string // as typed; normalized here, known or not
	Network string // web.Network
	Device  string
}

// Throttle slows guessing down. It counts by the typed address, known or not,
// so it says nothing about who has an account.
type Throttle struct {
	limits *ratelimit.Limiter
}

// NewThrottle counts in limits.
func NewThrottle(limits *ratelimit.Limiter) *Throttle { return &Throttle{limits} }

// Begin counts a try as failed before it is verified. wait above zero: do not
// verify, come back later. dead: so many tries failed in a row that only
// recovery helps; answer as to a wrong password. The budget of a network is
// for strangers: a neighbour who spends it keeps no known device out.
func (t *Throttle) Begin(ctx context.Context, r *realm.Realm, a Attempt) (wait time.Duration, dead bool, err error) {
	if a.Device == "" {
		ok, retry, err := t.limits.Allow(ctx, "signin-network/"+r.Name+"/"+a.Network, r.SignIn.AttemptsPerNetwork, time.Hour)
		if err != nil || !ok {
			return max(retry, time.Second), false, err
		}
	}
	return t.begin(ctx, r, delayKey(r, a), rowKey(r, a))
}

func (t *Throttle) begin(ctx context.Context, r *realm.Realm, delay, row string) (wait time.Duration, dead bool, err error) {
	if wait, err = t.limits.Delay(ctx, delay, r.SignIn); err != nil || wait > 0 {
		return wait, false, err
	}
	ok, err := t.limits.Streak(ctx, row, r.SignIn.DisableAtFailures, r.SignIn)
	return 0, !ok, err
}

// Passed forgets the failures after a try that succeeded. It may join a
// transaction.
func (t *Throttle) Passed(ctx context.Context, r *realm.Realm, a Attempt) error {
	return t.forget(ctx, delayKey(r, a), rowKey(r, a))
}

func (t *Throttle) forget(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := t.limits.Reset(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// GiveBack takes back what Begin counted when the password was not verified
// after all. dead is what Begin said: then it had counted one thing less.
func (t *Throttle) GiveBack(ctx context.Context, r *realm.Realm, a Attempt, dead bool) error {
	if err := t.limits.GiveBack(ctx, delayKey(r, a)); err != nil || dead {
		return err
	}
	return t.limits.GiveBack(ctx, rowKey(r, a))
}

// Forget lifts what was counted against an address from everywhere and from
// one network in particular, after its password was replaced. Devices known
// by then are known no more, so their delays are left to expire.
func (t *Throttle) Forget(ctx context.Context, r *realm.Realm, email, ip string) error {
	addr, _ := netip.ParseAddr(ip)
	a := Attempt{Email: email, Network: web.NetworkOf(addr)}
	return t.forget(ctx, delayKey(r, a), rowKey(r, a), rowKey(r, Attempt{Email: email, Device: "any"}))
}

// NewDevice reports whether one more browser may become known to an account
// after a sign-in there. Each has delays of its own, so they are rationed.
func (t *Throttle) NewDevice(ctx context.Context, r *realm.Realm, accountID uuid.UUID) (bool, error) {
	ok, _, err := t.limits.Allow(ctx, "device/"+accountID.String(), r.SignIn.NewDevicesPerDay, 24*time.Hour)
	return ok, err
}

// BeginOwn is Begin for a person who is signed in and types the current
// password to confirm something. dead: so many tries failed in a row that the
// session has to end; the person signs in again, whoever stole the session
// does not.
//
// Each session has delays of its own, so whoever holds a copy of one keeps the
// person out of no other. Together all sessions of an account have
// realm.SignInPolicy.ConfirmTriesPerDay wrong passwords, which is more than one
// session has before it ends. A new password brings new tries.
func (t *Throttle) BeginOwn(ctx context.Context, r *realm.Realm, a Account, session uuid.UUID) (wait time.Duration, dead bool, err error) {
	if wait, dead, err = t.begin(ctx, r, ownKey(session), ownRowKey(session)); err != nil || wait > 0 || dead {
		return wait, dead, err
	}
	good, err := t.limits.Count(ctx, ownGoodKey(a), 24*time.Hour)
	if err != nil {
		return 0, false, err
	}
	ok, wait, err := t.limits.Allow(ctx, ownTriesKey(a), r.SignIn.ConfirmTriesPerDay+good, 24*time.Hour)
	if err != nil || ok {
		return 0, false, err
	}
	// Turned away unseen: it counts for nothing.
	return max(wait, time.Second), false, t.giveBackOwn(ctx, session)
}

// PassedOwn is Passed for BeginOwn. A right password does not count against the
// account, and makes no wrong one of other sessions forgotten: else whoever
// holds one would get new tries with each confirmation of the person.
func (t *Throttle) PassedOwn(ctx context.Context, a Account, session uuid.UUID) error {
	if err := t.forget(ctx, ownKey(session), ownRowKey(session)); err != nil {
		return err
	}
	return t.uncount(ctx, a)
}

// ForgetOwn forgets what was typed wrong in a session, when its person has
// signed in again: whoever typed it had a cookie that is dead now.
func (t *Throttle) ForgetOwn(ctx context.Context, session uuid.UUID) error {
	return t.forget(ctx, ownKey(session), ownRowKey(session))
}

// GiveBackOwn is GiveBack for BeginOwn that did not say dead.
func (t *Throttle) GiveBackOwn(ctx context.Context, a Account, session uuid.UUID) error {
	if err := t.giveBackOwn(ctx, session); err != nil {
		return err
	}
	return t.uncount(ctx, a)
}

func (t *Throttle) giveBackOwn(ctx context.Context, session uuid.UUID) error {
	if err := t.limits.GiveBack(ctx, ownKey(session)); err != nil {
		return err
	}
	return t.limits.GiveBack(ctx, ownRowKey(session))
}

// uncount lets an account have one try more, for one that was no wrong one.
func (t *Throttle) uncount(ctx context.Context, a Account) error {
	_, _, err := t.limits.Allow(ctx, ownGoodKey(a), math.MaxInt32, 24*time.Hour)
	return err
}

func ownKey(session uuid.UUID) string { return "confirm/" + session.String() }

func ownRowKey(session uuid.UUID) string { return "confirm-row/" + session.String() }

func ownTriesKey(a Account) string { return "confirm-tries/" + ofPassword(a) }

func ownGoodKey(a Account) string { return "confirm-right/" + ofPassword(a) }

func ofPassword(a Account) string {
	return a.ID.String() + "/" + strconv.FormatInt(a.CredentialVersion, 10)
}

func delayKey(r *realm.Realm, a Attempt) string {
	if a.Device != "" {
		return "signin/" + r.Name + "/" + emailKey(a.Email) + "/device/" + a.Device
	}
	return "signin/" + r.Name + "/" + emailKey(a.Email) + "/" + a.Network
}

// rowKey counts failures in a row: those of strangers together, and apart from
// them those of all known devices together. So strangers lock no known device,
// and many devices give no more guesses than one.
func rowKey(r *realm.Realm, a Attempt) string {
	if a.Device != "" {
		return "signin-row/" + r.Name + "/" + emailKey(a.Email) + "/devices"
	}
	return "signin-row/" + r.Name + "/" + emailKey(a.Email)
}

// Recorded says whether a try that Begin turned away is one of the few an hour
// that are recorded. It counts by what was typed, so that an address costs the
// same whether somebody has it or not.
func (t *Throttle) Recorded(ctx context.Context, r *realm.Realm, a Attempt) (bool, error) {
	return t.RecordedAt(ctx, r, emailKey(a.Email))
}

// RecordedAt is Recorded for tries that name nobody, or somebody for certain; at
// is the network or the account.
func (t *Throttle) RecordedAt(ctx context.Context, r *realm.Realm, at string) (bool, error) {
	ok, _, err := t.limits.Allow(ctx, "turned-away/"+r.Name+"/"+at, r.SignIn.TurnedAwayRecorded, time.Hour)
	return ok, err
}

// emailKey stands for an address in a counter's key. It is a hash because
// people also type things into this field that are none of our business.
func emailKey(email string) string {
	if normal, err := NormalizeEmail(email); err == nil {
		email = normal
	}
	sum := sha256.Sum256([]byte(email))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}
