package keyring

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-id/portico/internal/realm"
)

// Rotate makes the next keys of a realm. They are published at once, sign from
// PublishAhead on, and the keys before them stay published until everything
// they signed has expired. While a rotation is under way it does nothing, so
// calling it twice, or on two replicas, rotates once.
func (k *Keyring) Rotate(ctx context.Context, r *realm.Realm) error {
	for _, alg := range algorithms {
		if err := k.rotate(ctx, r, alg, 0, PublishAhead); err != nil {
			return err
		}
	}
	return k.Refresh(ctx)
}

// RotateSoon is Rotate for a key that should no longer sign: the next keys sign
// after SoonAhead, also those that a rotation under way has published already.
// What the old keys signed stays valid until it expires. Relying parties that
// keep the key set for long, and do not look again for a key they do not know,
// will refuse tokens until they do.
func (k *Keyring) RotateSoon(ctx context.Context, r *realm.Realm) error {
	for _, alg := range algorithms {
		if err := k.rotate(ctx, r, alg, 0, SoonAhead); err != nil {
			return err
		}
		err := k.store.db.InTx(ctx, func(ctx context.Context) error {
			generation, _, err := k.store.newest(ctx, r.Name, alg)
			if err != nil {
				return err
			}
			soon := k.store.db.Now(ctx).Add(SoonAhead)
			return k.store.hurry(ctx, r.Name, alg, generation, soon, soon.Add(retention(r)))
		})
		if err != nil {
			return fmt.Errorf("rotate %s key of realm %s soon: %w", alg, r.Name, err)
		}
	}
	return k.Refresh(ctx)
}

// Info describes a stored key. Retired and Until are zero for a key that no
// other replaces.
type Info struct {
	KID, Alg                           string
	Created, SignsFrom, Retired, Until time.Time
}

// List describes the keys of a realm as they are stored, newest first. It opens
// none of them.
func (k *Keyring) List(ctx context.Context, r *realm.Realm) ([]Info, error) {
	list, err := k.store.list(ctx, r.Name)
	if err != nil {
		return nil, fmt.Errorf("list signing keys of realm %s: %w", r.Name, err)
	}
	return list, nil
}

// rotate makes the next key of an algorithm if the newest one has signed for
// at least minAge.
func (k *Keyring) rotate(ctx context.Context, r *realm.Realm, alg string, minAge, ahead time.Duration) error {
	generation, activeAt, err := k.store.newest(ctx, r.Name, alg)
	if err != nil {
		return fmt.Errorf("find newest %s key of realm %s: %w", alg, r.Name, err)
	}
	if now := k.store.db.Now(ctx); activeAt.Add(minAge).After(now) {
		return nil
	}
	next := []newKey{{realm: r.Name, alg: alg, generation: generation + 1}}
	if err := k.generate(next); err != nil {
		return err
	}
	made := false
	err = k.store.db.InTx(ctx, func(ctx context.Context) error {
		now := k.store.db.Now(ctx)
		signsAt := now.Add(ahead)
		made, err = k.store.insert(ctx, next[0], now, signsAt)
		if err != nil || !made {
			return err
		}
		if err := k.tell(ctx, next[0]); err != nil {
			return err
		}
		return k.store.retire(ctx, r.Name, alg, generation+1, signsAt, signsAt.Add(retention(r)))
	})
	if err != nil {
		return fmt.Errorf("rotate %s key of realm %s: %w", alg, r.Name, err)
	}
	if made {
		k.log.Info("signing key rotated", "realm", r.Name, "alg", alg, "kid", next[0].kid, "signs_in", ahead)
	}
	return nil
}

// retention is how long a key is needed after it has stopped signing: ID
// tokens come back as hints for as long as a session, kept ones too, or a grant
// lives.
func retention(r *realm.Realm) time.Duration {
	l := r.Lifetimes
	return max(l.AccessToken, l.IDToken, l.GrantAbsolute, l.SessionAbsolute, l.KeptSession) + retainExtra
}

// Maintain rotates keys that have signed for RotateEvery, removes those that
// nothing needs any longer, and reads the rest again.
func (k *Keyring) Maintain(ctx context.Context) error {
	for _, r := range k.known() {
		for _, alg := range algorithms {
			if err := k.rotate(ctx, r, alg, RotateEvery, PublishAhead); err != nil {
				return err
			}
		}
	}
	removed, err := k.store.remove(ctx, k.store.db.Now(ctx))
	if err != nil {
		return fmt.Errorf("remove expired signing keys: %w", err)
	}
	if removed > 0 {
		k.log.Info("expired signing keys removed", "keys", removed)
	}
	return k.Refresh(ctx)
}

// Worker runs Maintain every minute until ctx ends, and returns nil then. A
// failure is logged and tried again: the keys in memory go on signing.
func (k *Keyring) Worker(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := k.Maintain(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("signing keys could not be maintained", "error", err)
		}
	}
}
