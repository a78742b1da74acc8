package oauth

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func TestAReplayedCodeEndsEverythingThatCameOfIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("portal")
		r := w.redeem("portal", code)
		if !w.alive(r.get("access_token")) {
			t.Fatal("dead at once")
		}
		w.expect("replay", w.redeem("portal", code), 400, errInvalidGrant)
		if w.alive(r.get("access_token")) {
			t.Error("the access token survived")
		}
		w.expect("refresh", w.renew("portal", r.get("refresh_token")), 400, errInvalidGrant)
		if n := w.count(`SELECT count(*) FROM audit_events WHERE kind = 'token.reuse_detected'`); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

func TestACodeDiesAfterAMinute(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("portal")
		dbtest.Advance(w.db, 61*time.Second)
		w.expect("late", w.redeem("portal", code), 400, errInvalidGrant)
	})
}

func TestACodeFitsItsRedirectURIOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("portal")
		w.expect("other", w.redeem("portal", code, "redirect_uri=https://rp.example.test/other?x=1"), 400, errInvalidGrant)
		w.expect("none", w.redeem("portal", code, "-redirect_uri"), 400, errInvalidGrant)
		if w.redeem("portal", code).Status != 200 {
			t.Error("burnt")
		}
	})
}

func TestThirtyTwoRedemptionsOfOneCodeHaveOneWinner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, client := range []string{"portal", "spa"} {
			code := w.code(client)
			replies := make([]reply, 32)
			together(len(replies), func(i int) { replies[i] = w.redeem(client, code) })
			won := 0
			for _, r := range replies {
				if r.Status == 200 {
					won++
				} else {
					w.expect("loser", r, 400, errInvalidGrant)
				}
			}
			if won != 1 {
				t.Errorf("%s: %d winners", client, won)
			}
		}
	})
}

func TestThirtyTwoRefreshesOfAPublicClientHaveOneWinner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("spa")
		replies := make([]reply, 32)
		together(len(replies), func(i int) { replies[i] = w.renew("spa", first.get("refresh_token")) })
		won := 0
		for _, r := range replies {
			if r.Status == 200 {
				won++
				// The others were reuse, so the family is over.
				w.expect("descendant", w.renew("spa", r.get("refresh_token")), 400, errInvalidGrant)
			} else {
				w.expect("loser", r, 400, errInvalidGrant)
			}
		}
		if won != 1 {
			t.Errorf("%d winners", won)
		}
	})
}

func TestThirtyTwoRefreshesOfAConfidentialClientLeaveOneDescendant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("portal")
		replies := make([]reply, 32)
		together(len(replies), func(i int) { replies[i] = w.renew("portal", first.get("refresh_token")) })
		descendants, won := map[string]bool{}, 0
		for _, r := range replies {
			if r.Status == 200 {
				won++
				descendants[r.get("refresh_token")] = true
			} else {
				w.expect("loser", r, 400, errInvalidGrant)
			}
		}
		if won < 1 || won > 1+maxRepeats || len(descendants) != 1 {
			t.Errorf("%d answers, %d descendants", won, len(descendants))
		}
		if n := w.count(`SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL`); n != 1 {
			t.Errorf("%d live tokens", n)
		}
		for one := range descendants {
			if r := w.renew("portal", one); r.Status != 200 {
				t.Errorf("the family is over: %s", r.Body)
			}
		}
	})
}

func TestReuseOfARefreshTokenEndsTheFamily(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("spa")
		second := w.renew("spa", first.get("refresh_token"))
		if second.Status != 200 || !w.alive(second.get("access_token")) {
			t.Fatalf("refresh: %s", second.Body)
		}
		w.expect("reuse", w.renew("spa", first.get("refresh_token")), 400, errInvalidGrant)
		w.expect("successor", w.renew("spa", second.get("refresh_token")), 400, errInvalidGrant)
		if w.alive(second.get("access_token")) {
			t.Error("the access token survived")
		}
		if n := w.count(`SELECT count(*) FROM grants WHERE revoke_reason = 'refresh_token_reused'`); n != 1 {
			t.Errorf("%d grants revoked", n)
		}
	})
}

func TestAConfidentialClientMayRepeatTheLastRefresh(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("portal")
		second := w.renew("portal", first.get("refresh_token"))
		dbtest.Advance(w.db, 8*time.Second)
		again := w.renew("portal", first.get("refresh_token"))
		if again.Status != 200 || again.get("refresh_token") != second.get("refresh_token") || !w.alive(again.get("access_token")) {
			t.Fatalf("repeat: %s", again.Body)
		}
		third := w.renew("portal", again.get("refresh_token"))
		if third.Status != 200 {
			t.Fatalf("after the repeat: %s", third.Body)
		}
		// first is no longer the immediate predecessor.
		w.expect("grandparent", w.renew("portal", first.get("refresh_token")), 400, errInvalidGrant)
		w.expect("the family", w.renew("portal", third.get("refresh_token")), 400, errInvalidGrant)
	})
}

func TestARepeatedRefreshIsOverAfterTenSeconds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("portal")
		second := w.renew("portal", first.get("refresh_token"))
		dbtest.Advance(w.db, 11*time.Second)
		w.expect("repeat", w.renew("portal", first.get("refresh_token")), 400, errInvalidGrant)
		w.expect("the family", w.renew("portal", second.get("refresh_token")), 400, errInvalidGrant)
	})
}

func TestARefreshIsRepeatedTenTimesAtMost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("portal")
		w.renew("portal", first.get("refresh_token"))
		for range maxRepeats {
			if r := w.renew("portal", first.get("refresh_token")); r.Status != 200 {
				t.Fatalf("%s", r.Body)
			}
		}
		w.expect("once more", w.renew("portal", first.get("refresh_token")), 400, errInvalidGrant)
	})
}

func TestScopesNarrowAtARefreshAndComeBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal", "scope=openid email offline_access admin.read")
		r = w.renew("portal", r.get("refresh_token"), "scope=email openid")
		at := claims(t, r.get("access_token"))
		if r.Status != 200 || at["scope"] != "email openid" || r.get("scope") != "email openid" || at["aud"] != w.r.Issuer {
			t.Errorf("narrowed: %s, %v", r.Body, at)
		}
		w.expect("more than before", w.renew("portal", r.get("refresh_token"), "scope=openid profile"), 400, errInvalidScope)
		r = w.renew("portal", r.get("refresh_token"))
		if at := claims(t, r.get("access_token")); at["scope"] != "admin.read email offline_access openid" {
			t.Errorf("the next refresh got %v", at["scope"])
		}
		r = w.renew("portal", r.get("refresh_token"), "scope=email")
		if r.Status != 200 || r.get("id_token") != "" {
			t.Errorf("an ID token without openid: %s", r.Body)
		}
	})
}

func TestOnlyOfflineAccessGetsARefreshToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if r := w.tokens("portal", "scope=openid"); r.get("refresh_token") != "" {
			t.Errorf("%s", r.Body)
		}
		r := w.tokens("norefresh", "scope=openid offline_access")
		if r.get("refresh_token") != "" || r.get("scope") != "openid" {
			t.Errorf("%s", r.Body)
		}
	})
}

func TestNothingIsIssuedOnceAccountSessionOrGrantAreNotWhatTheyWere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		for name, change := range map[string]func(){
			"disabled": func() { w.exec(`UPDATE accounts SET state = 'disabled' WHERE id = $1`, w.account) },
			"another password": func() {
				w.exec(`UPDATE accounts SET credential_version = credential_version + 1 WHERE id = $1`, w.account)
			},
			"session ended": func() {
				if err := w.p.sessions.End(ctx, w.session.ID, "test"); err != nil {
					t.Fatal(err)
				}
			},
			"all revoked": func() {
				if err := w.p.RevokeAll(ctx, w.account, "test"); err != nil {
					t.Fatal(err)
				}
			},
			"session revoked": func() {
				if err := w.p.RevokeSession(ctx, w.session.ID, "test"); err != nil {
					t.Fatal(err)
				}
			},
		} {
			w.exec(`UPDATE accounts SET state = 'active' WHERE id = $1`, w.account)
			w.signIn(w.account)
			r, code := w.tokens("portal"), w.code("portal")
			change()
			w.expect(name+": exchange", w.redeem("portal", code), 400, errInvalidGrant)
			w.expect(name+": refresh", w.renew("portal", r.get("refresh_token")), 400, errInvalidGrant)
			if w.alive(r.get("access_token")) {
				t.Errorf("%s: the access token is alive", name)
			}
			if _, err := w.p.VerifyAccessToken(ctx, w.r, r.get("access_token"), w.r.Issuer); err == nil {
				t.Errorf("%s: VerifyAccessToken says yes", name)
			}
		}
	})
}

// TestADisableBetweenReadAndWriteWins holds the claim to the state of the
// moment, not to that of the read.
func TestADisableBetweenReadAndWriteWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		r, code := w.tokens("portal"), w.code("portal")
		ctx, u := w.p.newUnit(context.Background(), w.r, forToken)
		u.client, _ = w.r.Client("portal")
		if _, err := (store{}).GetAuthorizeCodeSession(ctx, keyOf(code), nil); err != nil {
			t.Fatal(err)
		}
		if err := (store{}).InvalidateAuthorizeCodeSession(ctx, ""); err != nil {
			t.Fatal(err)
		}
		ctx2, u2 := w.p.newUnit(context.Background(), w.r, forToken)
		u2.client = u.client
		key := strategy{w.p}.RefreshTokenSignature(ctx2, r.get("refresh_token"))
		if _, err := (store{}).GetRefreshTokenSession(ctx2, key, nil); err != nil {
			t.Fatal(err)
		}
		if err := (store{}).RotateRefreshToken(ctx2, "", key); err != nil {
			t.Fatal(err)
		}
		w.exec(`UPDATE accounts SET state = 'disabled' WHERE id = $1`, w.account)
		if err := u.flush(ctx, true); err != errLost {
			t.Errorf("code: %v", err)
		}
		if err := u2.flush(ctx2, true); err != errLost {
			t.Errorf("refresh token: %v", err)
		}
		if err := w.p.endIfSpent(ctx, u); err != nil {
			t.Error(err)
		}
		if n := w.count(`SELECT count(*) FROM grants WHERE revoked_at IS NOT NULL`); n != 0 {
			t.Error("a disabled account was taken for reuse")
		}
	})
}

// TestARepeatLosesAgainstTheSuccessor: the successor is spent after the
// repetition was read and before it is counted.
func TestARepeatLosesAgainstTheSuccessor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("portal")
		second := w.renew("portal", first.get("refresh_token"))
		ctx, u := w.p.newUnit(context.Background(), w.r, forToken)
		u.client, _ = w.r.Client("portal")
		key := strategy{w.p}.RefreshTokenSignature(ctx, first.get("refresh_token"))
		if _, err := (store{}).GetRefreshTokenSession(ctx, key, nil); err != nil || !u.refresh.repeat {
			t.Fatal(err, u.refresh)
		}
		if err := (store{}).RotateRefreshToken(ctx, "", key); err != nil {
			t.Fatal(err)
		}
		if r := w.renew("portal", second.get("refresh_token")); r.Status != 200 {
			t.Fatal(r.Body)
		}
		if err := u.flush(ctx, true); err != errRepeat {
			t.Errorf("%v", err)
		}
	})
}

func TestHoweverOftenAFamilyIsReusedOneAlarmIsRaised(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alarms := func() int64 {
			return w.count(`SELECT count(*) FROM audit_events WHERE kind = 'token.reuse_detected'`)
		}
		w.signIn(w.account)
		family := int64(0)
		for what, present := range map[string]func(client string) func() reply{
			"a code": func(client string) func() reply {
				code := w.code(client)
				w.expect("exchange", w.redeem(client, code), 200, "")
				return func() reply { return w.redeem(client, code) }
			},
			"a code that nobody had redeemed": func(client string) func() reply {
				code := w.code(client)
				return func() reply { return w.redeem(client, code) }
			},
			"a refresh token": func(client string) func() reply {
				old := w.tokens(client).get("refresh_token")
				next := w.renew(client, old)
				w.expect("refresh", w.renew(client, next.get("refresh_token")), 200, "")
				return func() reply { return w.renew(client, old) }
			},
			"a refresh token that nobody had used": func(string) func() reply {
				fresh := w.tokens("spa").get("refresh_token")
				return func() reply { return w.renew("spa", fresh) }
			},
		} {
			for _, client := range []string{"portal", "spa"} {
				again := present(client)
				family++
				together(32, func(int) { again() })
				again()
				if n := alarms(); n != family {
					t.Errorf("%s of %s: %d alarms, want 1", what, client, n-family+1)
					family = n
				}
			}
		}
		if n := w.count(`SELECT count(*) FROM grants WHERE revoked_at IS NOT NULL`); n != family {
			t.Errorf("%d families ended, want %d", n, family)
		}
	})
}
