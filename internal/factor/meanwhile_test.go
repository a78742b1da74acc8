package factor_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/web/webtest"
)

// Whoever was in the account and was thrown out of it, by a new password or a
// freeze, leaves nothing behind with a form that was on its way.
func TestAFormFromBeforeTheAccountChangedChangesNoFactor(t *testing.T) {
	changes := map[string]func(ctx context.Context, w *world) error{
		"a new password": func(ctx context.Context, w *world) error {
			hash, err := w.Accounts.HashPassword(ctx, w.Realm, w.maria, accounttest.NewPassword)
			if err != nil {
				return err
			}
			return w.DB.InTx(ctx, func(ctx context.Context) error {
				return w.Accounts.ReplacePassword(ctx, w.Realm, w.maria.ID, hash, account.Reason{Why: account.Recovery, By: w.by})
			})
		},
		"a freeze": func(ctx context.Context, w *world) error {
			return w.Accounts.Freeze(ctx, w.Realm, w.maria.ID, w.by)
		},
		"a closing": func(ctx context.Context, w *world) error {
			return w.Accounts.Disable(ctx, w.Realm, w.maria.ID, w.by)
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				ctx, read := t.Context(), w.maria
				_, _ = w.withApp(read)
				w.register(w.Realm, read, newKey(false))
				list, err := w.factors.Passkeys(ctx, w.Realm, read.ID)
				must(t, err)
				setup, err := w.factors.BeginTOTP(ctx, w.Realm, read, mine)
				must(t, err)
				options, err := w.factors.Creation(ctx, w.Realm, herBrowser, read)
				must(t, err)
				must(t, change(ctx, w))
				letters := w.Count(`SELECT COUNT(*) FROM mail_outbox`)

				_, app := w.factors.FinishTOTP(ctx, w.Realm, read, mine, w.codeAt(secretOf(setup), 0), w.by)
				_, codes := w.factors.NewRecoveryCodes(ctx, w.Realm, read, w.by)
				for what, err := range map[string]error{
					"an app":             app,
					"new recovery codes": codes,
					"a passkey":          w.factors.FinishPasskey(ctx, w.Realm, herBrowser, read, newKey(false).create(t, here, options), "x", w.by),
					"another name":       w.factors.RenamePasskey(ctx, w.Realm, read, list[0].ID, "x", w.by),
					"no app":             w.factors.RemoveTOTP(ctx, w.Realm, read, w.by),
					"no passkey":         w.factors.RemovePasskey(ctx, w.Realm, read, list[0].ID, w.by),
				} {
					if !errors.Is(err, factor.ErrChanged) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if has := w.summary(read); has.Passkeys != 1 || !has.TOTP || has.RecoveryCodes != 10 || letters != w.Count(`SELECT COUNT(*) FROM mail_outbox`) {
					t.Errorf("%+v", has)
				}
			})
		})
	}
}

// The person adds the first factor while a thief with the password and a
// session from before adds another: whoever is second has to prove the first.
func TestOfManyFirstFactorsAtOnceOneIsAdded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		type rival struct {
			b    *webtest.Browser
			form url.Values
		}
		var rivals []rival
		for range 6 {
			b := w.Browser(w.pages().Mount)
			w.SignIn(b, w.maria)
			options := b.Get(home + "/passkey").Value("options")
			rivals = append(rivals, rival{b, url.Values{"name": {"Mine"}, "response": {string(newKey(false).create(t, here, []byte(options)))}}})
		}
		start, all := make(chan struct{}), sync.WaitGroup{}
		for _, r := range rivals {
			all.Go(func() {
				<-start
				r.b.Post(home+"/passkey", r.form)
			})
		}
		close(start)
		all.Wait()
		if has, strong := w.summary(w.maria), w.Count(`SELECT COUNT(*) FROM sessions WHERE acr = '2'`); has.Passkeys != 1 || strong != 1 {
			t.Errorf("%d passkeys, %d sessions of two factors", has.Passkeys, strong)
		}
	})
}
