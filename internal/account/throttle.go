package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// consecutive is how long failures count as being in a row.
const consecutive = 180 * 24 * time.Hour

// Attempt is one try to prove who one is by a password. Device is not empty
// when the browser has proved that it signed in to this account before: it is
// then slowed down by its own failures only, so that an attacker cannot keep
// the person out.
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
// recovery helps; answer as to a wrong password.
func (t *Throttle) Begin(ctx context.Context, r *realm.Realm, a Attempt) (wait time.Duration, dead bool, err error) {
	ok, retry, err := t.limits.Allow(ctx, "signin-network/"+r.Name+"/"+a.Network, r.SignIn.AttemptsPerNetwork, time.Hour)
	if err != nil || !ok {
		return max(retry, time.Second), false, err
	}
	if wait, err = t.limits.Delay(ctx, delayKey(r, a), r.SignIn); err != nil || wait > 0 {
		return wait, false, err
	}
	ok, _, err = t.limits.Allow(ctx, totalKey(r, a), r.SignIn.DisableAtFailures, consecutive)
	return 0, !ok, err
}

// Passed forgets the failures after a try that succeeded. It may join a
// transaction.
func (t *Throttle) Passed(ctx context.Context, r *realm.Realm, a Attempt) error {
	if err := t.limits.Reset(ctx, delayKey(r, a)); err != nil {
		return err
	}
	return t.limits.Reset(ctx, totalKey(r, a))
}

// Forget lifts what was counted against an address from everywhere and from
// one network in particular, after its password was replaced.
func (t *Throttle) Forget(ctx context.Context, r *realm.Realm, email, ip string) error {
	addr, _ := netip.ParseAddr(ip)
	return t.Passed(ctx, r, Attempt{Email: email, Network: web.NetworkOf(addr)})
}

// BeginOwn is Begin for a person who is signed in and types the current
// password to confirm something.
func (t *Throttle) BeginOwn(ctx context.Context, r *realm.Realm, accountID uuid.UUID) (wait time.Duration, err error) {
	return t.limits.Delay(ctx, ownKey(accountID), r.SignIn)
}

// PassedOwn is Passed for BeginOwn.
func (t *Throttle) PassedOwn(ctx context.Context, accountID uuid.UUID) error {
	return t.limits.Reset(ctx, ownKey(accountID))
}

func ownKey(accountID uuid.UUID) string { return "confirm/" + accountID.String() }

func delayKey(r *realm.Realm, a Attempt) string {
	if a.Device != "" {
		return "signin/" + r.Name + "/" + emailKey(a.Email) + "/device/" + a.Device
	}
	return "signin/" + r.Name + "/" + emailKey(a.Email) + "/" + a.Network
}

func totalKey(r *realm.Realm, a Attempt) string {
	if a.Device != "" {
		return "signin-row/" + r.Name + "/" + emailKey(a.Email) + "/device/" + a.Device
	}
	return "signin-row/" + r.Name + "/" + emailKey(a.Email)
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
