package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database/dbtest"
)

func (w *world) apps(account uuid.UUID) map[string]App {
	w.t.Helper()
	list, err := w.p.Connected(context.Background(), w.r, account)
	if err != nil {
		w.t.Fatal(err)
	}
	apps := map[string]App{}
	for _, a := range list {
		apps[a.ClientID] = a
	}
	if len(apps) != len(list) {
		w.t.Errorf("an app is listed twice: %+v", list)
	}
	return apps
}

func (w *world) remove(account uuid.UUID, client string) error {
	w.t.Helper()
	return w.p.RemoveApp(context.Background(), w.r, account, client, AppRemoval{Actor: "account:" + account.String(), IP: "192.0.2.7", Device: "Firefox"})
}

func TestConnectedAppsAreListedByWhatStillLives(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		if got := w.apps(w.account); len(got) != 0 {
			t.Errorf("nothing is connected yet: %v", got)
		}
		w.signIn(w.account)
		began := w.db.Now(context.Background())
		id, auth, _ := w.registered(nil)
		own := w.tokensOf(id, auth)
		portal := w.tokens("portal", "scope=openid email offline_access")
		w.tokens("portal", "scope=openid profile phone offline_access") // on a second visit
		w.agreeAll("third", "openid profile")                           // agreed to once, not in use

		dbtest.Advance(w.db, 5*time.Minute)
		renewed := w.renew("portal", portal.get("refresh_token"))
		w.expect("renew", renewed, 200, "")

		list, err := w.p.Connected(context.Background(), w.r, w.account)
		if err != nil || len(list) != 3 || list[0].ClientID != "portal" || list[2].ClientID != "third" {
			t.Fatalf("%v %+v", err, list)
		}
		got := w.apps(w.account)
		if a := got["portal"]; a.Name != "Patient Portal" || a.Registered || a.LastUsed.Sub(began) < 5*time.Minute || a.Since.Sub(began) > time.Minute ||
			!slices.Equal(a.MaySee, []string{"consent.scope.openid", "consent.scope.email", "consent.scope.offline_access", "consent.scope.phone", "consent.scope.profile"}) {
			t.Errorf("%+v", a)
		}
		if a := got[id]; a.Name != "Growth Diary" || !a.Registered || a.LastUsed.IsZero() {
			t.Errorf("%+v", a)
		}
		if a := got["third"]; a.Name != "Growth Charts" || !a.LastUsed.IsZero() || a.Since.IsZero() {
			t.Errorf("%+v", a)
		}

		// The session runs into its idle limit. The grants can still be used, so
		// they are still shown.
		dbtest.Advance(w.db, w.r.Lifetimes.SessionIdle+time.Minute)
		open, err := w.p.sessions.List(context.Background(), w.r, w.account)
		if err != nil || len(open) != 0 {
			t.Fatalf("%v %v", open, err)
		}
		if got := w.apps(w.account); len(got) != 3 || got["portal"].LastUsed.IsZero() {
			t.Errorf("%+v", got)
		}
		w.expect("renew", w.renew("portal", renewed.get("refresh_token")), 200, "")

		// What has been revoked is not connected any more; consent is kept.
		if err := w.p.RevokeAll(context.Background(), w.account, "password_changed"); err != nil {
			t.Fatal(err)
		}
		if got := w.apps(w.account); len(got) != 2 || got["portal"].ClientID != "" || !got[id].LastUsed.IsZero() {
			t.Errorf("%+v", got)
		}
		if got := w.apps(w.newAccount("sam@example.test")); len(got) != 0 {
			t.Errorf("somebody else sees %v", got)
		}
		_ = own
	}, open)
}

func TestAListOfAppsIsOneQuery(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		var ids []string
		for range 4 {
			id, auth, _ := w.registered(nil)
			w.tokensOf(id, auth)
			ids = append(ids, id)
		}
		w.tokens("portal")
		ids = append(ids, "portal", "gone", realmUnknown, ids[0], "")
		ctx, trips := dbtest.CountTrips(context.Background())
		list, err := w.p.Connected(ctx, w.r, w.account)
		if err != nil || len(list) != 5 || trips.Trips() != 1 {
			t.Errorf("%d apps in %d trips: %v", len(list), trips.Trips(), err)
		}
		ctx, trips = dbtest.CountTrips(context.Background())
		names, err := w.p.AppNames(ctx, w.r, ids)
		if err != nil || trips.Trips() != 1 || names[ids[1]].Name != "Growth Diary" || !names[ids[1]].Registered ||
			names["portal"].Name != "Patient Portal" || names["gone"].Name != "gone" || names[realmUnknown].Name != realmUnknown || len(names) != 7 {
			t.Errorf("%v in %d trips: %v", names, trips.Trips(), err)
		}
	}, open)
}

// realmUnknown looks like a client that registered itself and is none.
const realmUnknown = "dyn-AAAAAAAAAAAAAAAAAAAAAA"

func TestRemovingAnAppEndsAllOfItAndNothingElse(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		portal := w.tokens("portal", "scope=openid email offline_access")
		w.tokens("portal")
		pending := w.code("portal")
		spa := w.tokens("spa")
		w.agreeAll("portal", "email openid")
		w.agreeAll("spa", "openid")
		mine, phone := w.session, w.Cookie("")

		sam := w.newAccount("sam@example.test")
		w.signIn(sam)
		theirs := w.tokens("portal")

		if err := w.remove(sam, "spa"); !errors.Is(err, ErrNoApp) {
			t.Errorf("an app of somebody else's: %v", err)
		}
		for _, id := range []string{"", "nobody", "portal\x00", "\xff", realmUnknown} {
			if err := w.remove(w.account, id); !errors.Is(err, ErrNoApp) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if w.count(`SELECT count(*) FROM audit_events WHERE kind = 'app.removed'`) != 0 || w.deliver() != 0 || !w.alive(spa.get("access_token")) {
			t.Error("nothing was removed, and something happened")
		}

		if err := w.remove(w.account, "portal"); err != nil {
			t.Fatal(err)
		}
		w.expect("refresh", w.renew("portal", portal.get("refresh_token")), 400, errInvalidGrant)
		w.expect("pending code", w.redeem("portal", pending), 400, errInvalidGrant)
		if w.alive(portal.get("access_token")) {
			t.Error("the access token lives on")
		}
		if !w.alive(spa.get("access_token")) || !w.alive(theirs.get("access_token")) {
			t.Error("another app, or the app of another person, was ended")
		}
		if got := w.apps(w.account); len(got) != 1 || got["spa"].ClientID == "" {
			t.Errorf("%v", got)
		}
		if w.count(`SELECT count(*) FROM consents WHERE client_id = 'portal'`) != 0 || w.count(`SELECT count(*) FROM consents`) != 1 {
			t.Error("consent")
		}
		if n := w.count(`SELECT count(*) FROM audit_events WHERE kind = 'app.removed' AND client_id = 'portal' AND target = $1 AND actor = $1 AND ip = '192.0.2.7'`,
			"account:"+w.account.String()); n != 1 {
			t.Errorf("%d events", n)
		}
		// The client is told, once for the session; the person stays signed in.
		if n := w.deliver(); n != 1 || len(e.tokens()) != 1 {
			t.Fatalf("%d logout tokens", n)
		}
		got := claims(t, e.tokens()[0])
		if got["aud"] != "portal" || got["sid"] != mine.ID.String() || got["sub"] != claims(t, portal.get("id_token"))["sub"] {
			t.Errorf("%v", got)
		}
		w.SetCookie("", phone)
		if s, err := w.p.sessions.List(context.Background(), w.r, w.account); err != nil || len(s) != 1 {
			t.Errorf("%d sessions, %v", len(s), err)
		}
		if err := w.remove(w.account, "portal"); !errors.Is(err, ErrNoApp) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestAfterRemovalAnAppHasToAskAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("third")
		flow := w.flowIn(w.authorize(form), "/consent")
		page := w.Get("/consent?flow=" + flow)
		w.flowIn(w.Post("/consent", url.Values{"flow": {flow}, "account": {page.Value("account")}, "client": {page.Value("client")}, "answer": {"allow"}}), "/oauth/authorize")
		// Agreed to, and removed before the app has got anything of it.
		if err := w.remove(w.account, "third"); err != nil {
			t.Fatal(err)
		}
		if p := w.resumeFlow(flow); p.Status == http.StatusSeeOther {
			u, err := url.Parse(p.Location())
			if err != nil || u.Query().Has("code") {
				t.Errorf("a code after the removal: %s", p.Location())
			}
		}
		w.flowIn(w.authorize(form), "/consent")
		if n := w.count(`SELECT count(*) FROM grants`); n != 0 {
			t.Errorf("%d grants", n)
		}
	})
}

func TestAClientThatIsGoneIsListedByItsIdentifierAndRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := w.db.Now(context.Background())
		s := w.signIn(w.account)
		w.exec(`INSERT INTO grants (id, realm, client_id, account_id, session_id, scopes, audiences, session_data, credential_version, created_at, expires_at)
			SELECT $1, $2, 'old-portal', id, $3, 'openid email', '', '{}', credential_version, $4, $5 FROM accounts WHERE id = $6`,
			uuid.New(), w.r.Name, s.ID, now, now.Add(time.Hour), w.account)
		w.agreeAll(realmUnknown, "openid")
		got := w.apps(w.account)
		if len(got) != 2 || got["old-portal"].Name != "old-portal" || got[realmUnknown].Name != realmUnknown {
			t.Fatalf("%+v", got)
		}
		for id := range got {
			if err := w.remove(w.account, id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		if got := w.apps(w.account); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestARefreshBesideARemovalLeavesNothingBehind(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 5 {
			token := w.tokens("portal").get("refresh_token")
			answers := make(chan reply, 8)
			var all sync.WaitGroup
			for i := range 9 {
				all.Go(func() {
					if i == 4 {
						if err := w.remove(w.account, "portal"); err != nil {
							t.Errorf("remove: %v", err)
						}
						return
					}
					answers <- w.renew("portal", token)
				})
			}
			all.Wait()
			close(answers)
			for r := range answers {
				if next := r.get("refresh_token"); next != "" && w.renew("portal", next).Status == 200 {
					t.Error("a refresh token outlived the removal")
				}
				if at := r.get("access_token"); at != "" && w.alive(at) {
					t.Error("an access token outlived the removal")
				}
			}
		}
	})
}
